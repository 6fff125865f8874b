// How a helper process is started so that it cannot outlive or outgrow us: it dies with its parent even on
// SIGKILL, gains no privileges and has bounded resources, as far as this machine has the tools (util-linux).
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { access, constants } from 'node:fs/promises'

export interface ResourceLimits {
  addressSpaceBytes: number
  fileSizeBytes: number
  openFiles: number
}

export interface ProcessGuard {
  /** The command and arguments that run `command` under guard. */
  wrap(command: string, args: readonly string[], limits?: ResourceLimits): [string, string[]]
  /** What guards there are, for the log. */
  readonly kinds: readonly string[]
}

const setpriv = '/usr/bin/setpriv'
const setprivArgs = ['--pdeathsig', 'KILL', '--no-new-privs']
const prlimit = '/usr/bin/prlimit'

/** Tries each tool once; what does not work here is left out. */
export async function findProcessGuard(): Promise<ProcessGuard> {
  const [hasSetpriv, hasPrlimit] = await Promise.all([
    works(setpriv, [...setprivArgs, '/bin/true']),
    works(prlimit, ['--core=0', '/bin/true']),
  ])
  return {
    kinds: [...(hasSetpriv ? ['setpriv'] : []), ...(hasPrlimit ? ['prlimit'] : [])],
    wrap(command, args, limits) {
      let line = [command, ...args]
      if (limits && hasPrlimit) {
        line = [
          prlimit,
          `--as=${limits.addressSpaceBytes}`,
          `--fsize=${limits.fileSizeBytes}`,
          `--nofile=${limits.openFiles}`,
          '--core=0',
          ...line,
        ]
      }
      if (hasSetpriv) line = [setpriv, ...setprivArgs, ...line]
      return [line[0]!, line.slice(1)]
    },
  }
}

async function works(command: string, args: string[]): Promise<boolean> {
  try {
    await access(command, constants.X_OK)
    const child = spawn(command, args, { stdio: 'ignore' })
    const [code] = (await once(child, 'exit')) as [number | null]
    return code === 0
  } catch {
    return false
  }
}
