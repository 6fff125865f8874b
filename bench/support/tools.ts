// What a benchmark needs of the machine: programs of the operating system, cores, open files. Says what is missing.
import { accessSync, constants, readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { delimiter, join } from 'node:path'

/** The Debian package of each. */
const packages = {
  h2load: 'nghttp2-client',
  nginx: 'nginx-light',
  openssl: 'openssl',
  slowhttptest: 'slowhttptest',
  taskset: 'util-linux',
  varnishd: 'varnish',
  wrk: 'wrk',
} as const
export type Tool = keyof typeof packages

export interface Needs {
  tools: readonly Tool[]
  /** Of one process. */
  openFiles?: number
}

/** Undefined where it is not installed. A plain user's PATH lacks the folders where servers are. */
export function pathOf(tool: Tool): string | undefined {
  const folders = [...(process.env.PATH ?? '').split(delimiter), '/usr/local/sbin', '/usr/sbin']
  return folders
    .filter((folder) => folder !== '')
    .map((folder) => join(folder, tool))
    .find(isExecutable)
}

/** Throws where it is not installed: `missingFor` has been asked before. */
export function requiredPath(tool: Tool): string {
  const path = pathOf(tool)
  if (path === undefined) throw new Error(adviceFor([tool]))
  return path
}

/** Everything that is missing as one text, or undefined. */
export function missingFor(scenario: string, { tools, openFiles = 0 }: Needs): string | undefined {
  if (process.platform !== 'linux') return `The scenario ${scenario} needs Linux: it reads /proc.`
  const texts: string[] = []
  if (availableParallelism() < 2) texts.push('Two cores are needed: one serves, one loads.')
  const absent = tools.filter((tool) => pathOf(tool) === undefined)
  if (absent.length > 0) texts.push(adviceFor(absent))
  const limit = maxOpenFiles(readFileSync('/proc/self/limits', 'utf8'))
  if (limit < openFiles) {
    texts.push(
      `${openFiles} open files are needed in one process, and ${limit} are allowed: ulimit -n ${openFiles}`,
    )
  }
  return texts.length === 0 ? undefined : texts.join(' ')
}

/** From the text of /proc/PID/limits. The hard limit: Node raises the other one to it by itself. */
export function maxOpenFiles(limits: string): number {
  const [, hard] = /^Max open files\s+\S+\s+(\S+)/m.exec(limits) ?? []
  return hard === 'unlimited' ? Number.POSITIVE_INFINITY : Number(hard ?? 0)
}

function adviceFor(tools: readonly Tool[]): string {
  const debian = tools.map((tool) => packages[tool]).join(' ')
  return `Not installed: ${tools.join(', ')} (apt install ${debian}).`
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK)
    return true
  } catch {
    return false
  }
}
