// What an encoder needs on this machine; nothing is installed, a missing thing is named.
import { spawnSync } from 'node:child_process'

export type Requirement =
  | { program: string; package: string }
  | { gstreamer: string; package: string }
  | 'mount namespaces'

/** A sentence on what is missing; undefined where all is there. */
export function missing(...requirements: Requirement[]): string | undefined {
  const lacks = requirements.filter((requirement) => !isThere(requirement))
  if (lacks.length === 0) return undefined
  const packages = new Set(
    lacks.flatMap((lack) => (typeof lack === 'string' ? [] : [lack.package])),
  )
  const names = lacks.map((lack) =>
    typeof lack === 'string' ? lack : 'program' in lack ? lack.program : lack.gstreamer,
  )
  const hint = packages.size > 0 ? `; Debian: apt-get install ${[...packages].join(' ')}` : ''
  return `missing: ${names.join(', ')}${hint}`
}

function isThere(requirement: Requirement): boolean {
  // Not every machine, and hardly any container, lets a process have a mount namespace of its own.
  if (requirement === 'mount namespaces') return succeeds('unshare', [...unshareFlags(), 'true'])
  if ('gstreamer' in requirement) return succeeds('gst-inspect-1.0', [requirement.gstreamer])
  return succeeds('sh', ['-c', 'command -v "$1"', 'sh', requirement.program])
}

function succeeds(command: string, args: string[]): boolean {
  return spawnSync(command, args, { stdio: 'ignore', timeout: 30_000 }).status === 0
}

/** A private mount namespace, as root of the machine or, for anybody else, of a user namespace. */
export function unshareFlags(): string[] {
  const isRoot = process.getuid?.() === 0
  return ['--mount', '--propagation', 'private', ...(isRoot ? [] : ['--map-root-user'])]
}
