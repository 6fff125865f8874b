// What the machine has to offer any role: Node, file descriptors, ffmpeg and the tools that guard it, disk.
import { execFile } from 'node:child_process'
import {
  accessSync,
  constants,
  existsSync,
  readFileSync,
  statfsSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { minimumNode } from '../../common/version.ts'
import { type Finding, fail, ok, warn } from './finding.ts'

export function checkNode(version = process.versions.node): Finding[] {
  const [major = 0, minor = 0] = version.split('.').map(Number)
  const [wantedMajor = 0, wantedMinor = 0] = minimumNode.split('.').map(Number)
  const isNewEnough = major > wantedMajor || (major === wantedMajor && minor >= wantedMinor)
  if (isNewEnough) return [ok('node', version)]
  return [fail('node', `${version}, needs ${minimumNode}`, 'Run npm ci, then use npx nearcast.')]
}

const wantedFiles = 8_192

/** A viewer is a file descriptor, so is a publisher, so is a file. */
export function checkOpenFiles(limits = readOr('/proc/self/limits', '')): Finding[] {
  const soft = /^Max open files\s+(\S+)/m.exec(limits)?.[1]
  if (soft === undefined) return []
  if (soft === 'unlimited' || Number(soft) >= wantedFiles) return [ok('open files', soft)]
  const fix = `Raise it: ulimit -n 65536, or LimitNOFILE=65536 in the systemd unit.`
  return [warn('open files', `${soft} at most; each viewer needs one`, fix)]
}

function readOr<T>(file: string, otherwise: T): string | T {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return otherwise
  }
}

const migrationSetting = '/proc/sys/net/ipv4/tcp_migrate_req'

/** Of edges alone: what becomes of connections that a closing listener has not accepted yet. */
export function checkMigration(value = readOr(migrationSetting, undefined)): Finding[] {
  const name = 'hand-over'
  if (process.platform !== 'linux') return []
  if (value?.trim() === '1') return [ok(name, 'net.ipv4.tcp_migrate_req is 1')]
  const loss = 'resets some new connections while edges or their workers change'
  if (value === undefined) {
    return [warn(name, `this kernel ${loss}`, 'Linux 5.14 or newer has net.ipv4.tcp_migrate_req.')]
  }
  const fix =
    'sysctl -w net.ipv4.tcp_migrate_req=1, and the same in /etc/sysctl.d/; deploy/ sets it.'
  return [warn(name, `net.ipv4.tcp_migrate_req is ${value.trim()}: ${loss}`, fix)]
}

export type Run = (command: string, args: string[]) => Promise<string | undefined>

/** What a command prints; undefined when it cannot be run. */
export const runCommand: Run = (command, args) =>
  new Promise((resolve) => {
    const options = { timeout: 10_000, maxBuffer: 16 * 1024 * 1024 }
    execFile(command, args, options, (err, stdout) => resolve(err ? undefined : stdout))
  })

const needed = {
  encoders: ['libx264', 'aac'],
  demuxers: ['flv', 'mov'],
  muxers: ['dash', 'flv', 'mp4'],
  filters: ['scale', 'split'],
} as const

const installFfmpeg = 'Install it: apt-get install ffmpeg, or set the path in the config.'

export async function checkFfmpeg(
  ffmpeg = 'ffmpeg',
  ffprobe = 'ffprobe',
  run: Run = runCommand,
): Promise<Finding[]> {
  const banner = await run(ffmpeg, ['-hide_banner', '-version'])
  if (banner === undefined) return [fail('ffmpeg', `${ffmpeg} cannot be run`, installFfmpeg)]
  const version = versionIn(banner)
  const missing: string[] = []
  for (const [kind, names] of Object.entries(needed)) {
    const listed = listedNames((await run(ffmpeg, ['-hide_banner', `-${kind}`])) ?? '')
    const singular = kind.slice(0, -1)
    missing.push(...names.filter((name) => !listed.has(name)).map((name) => `${singular} ${name}`))
  }
  const found: Finding[] =
    missing.length === 0
      ? [ok('ffmpeg', `${version} with libx264, aac, flv, dash`)]
      : [fail('ffmpeg', `${version} lacks ${missing.join(', ')}`, installFfmpeg)]
  const probe = await run(ffprobe, ['-hide_banner', '-version'])
  found.push(
    probe === undefined
      ? fail('ffprobe', `${ffprobe} cannot be run`, installFfmpeg)
      : ok('ffprobe', versionIn(probe)),
  )
  return found
}

function versionIn(banner: string): string {
  return /version (\S+)/.exec(banner)?.[1] ?? 'of an unknown version'
}

/** Lines such as ` V....D libx264  …`, ` D  mov,mp4,m4a  …`, `  E flv  …`, ` T.C scale  …`. */
function listedNames(text: string): Set<string> {
  const names = text.split('\n').flatMap((line) => {
    return /^ {1,2}[A-Z.|]+ +(\S+)\s/.exec(line)?.[1]?.split(',') ?? []
  })
  return new Set(names)
}

/** util-linux: with these ffmpeg dies with its parent and stays within bounds. */
export async function checkGuards(run: Run = runCommand): Promise<Finding[]> {
  const guards = [
    [
      'setpriv',
      ['--pdeathsig', 'KILL', '--no-new-privs', 'true'],
      'ffmpeg may outlive a killed node',
    ],
    ['prlimit', ['--core=0', 'true'], 'ffmpeg runs without resource limits'],
  ] as const
  const results = await Promise.all(
    guards.map(async ([name, args, loss]) => {
      if ((await run(name, [...args])) !== undefined) return ok(name, 'works')
      return warn(name, `does not work: ${loss}`, 'Install it: apt-get install util-linux.')
    }),
  )
  return results
}

const gib = 1024 ** 3

/** Space and permission where the node keeps its state; leaves nothing behind. */
export function checkDisk(dataDir: string, wantedBytes = 2 * gib): Finding[] {
  const place = nearestFolder(dataDir)
  const name = 'disk'
  const fix = `Make ${dataDir} writable for the user that runs the node.`
  try {
    if (place === dataDir) {
      const probe = join(place, `.nearcast-doctor-${process.pid}`)
      writeFileSync(probe, 'x')
      unlinkSync(probe)
    } else {
      accessSync(place, constants.W_OK | constants.X_OK)
    }
  } catch (err) {
    return [fail(name, `${place} cannot be written: ${(err as NodeJS.ErrnoException).code}`, fix)]
  }
  const { bavail, bsize } = statfsSync(place)
  const free = bavail * bsize
  const text = `${(free / gib).toFixed(1)} GiB free at ${dataDir}`
  const more = 'Free some space, or point dataDir at a larger disk.'
  if (free < wantedBytes / 20) return [fail(name, text, more)]
  if (free < wantedBytes) return [warn(name, text, more)]
  return [ok(name, place === dataDir ? text : `${text}, which will be made`)]
}

function nearestFolder(path: string): string {
  return existsSync(path) || dirname(path) === path ? path : nearestFolder(dirname(path))
}
