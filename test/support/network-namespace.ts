// Runs a program of this repository in a network namespace of its own, whose settings are nobody else's (Linux).
import { execFile, execFileSync } from 'node:child_process'
import { promisify } from 'node:util'

const setting = '/proc/sys/net/ipv4/tcp_migrate_req'
/** Root as it is; anybody else as root of a user namespace, where the system lets them. */
const unshare = process.getuid?.() === 0 ? ['-n'] : ['-rn']
const limitMs = 110_000

/** Why it cannot be done here; undefined where it can. */
export function missingForNamespace(): string | undefined {
  if (process.platform !== 'linux') return 'network namespaces need Linux'
  try {
    const script = `ip link set lo up && test -w ${setting}`
    execFileSync('unshare', [...unshare, 'sh', '-c', script], { stdio: 'pipe' })
    return undefined
  } catch {
    return `unshare -n, ip or ${setting} (Linux 5.14) cannot be had here`
  }
}

/** What it prints. `migrate`: connections that a closing listener has not accepted go to another one of its port. */
export async function runInNamespace(
  file: string,
  args: readonly string[],
  { migrate }: { migrate: boolean },
): Promise<string> {
  const script = `ip link set lo up && echo ${migrate ? 1 : 0} > ${setting} && exec "$@"`
  const command = [process.execPath, file, ...args]
  const { stdout } = await promisify(execFile)(
    'unshare',
    [...unshare, 'sh', '-c', script, 'sh', ...command],
    { timeout: limitMs },
  )
  return stdout
}
