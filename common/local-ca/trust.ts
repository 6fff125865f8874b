// How a machine is told to trust the local CA: by the commands of its own system, which a person can read first.
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { messageOf, ServiceError } from '../errors.ts'

export interface TrustPlan {
  system: string
  /** Argument lists, to be run in order by root. */
  commands: string[][]
}

export interface TrustTarget {
  platform: NodeJS.Platform
  /** Whether a path exists on the machine. */
  has(path: string): boolean
  caFile: string
  /** SHA-256 of the certificate, so that CAs of several installations live side by side. */
  fingerprint256: string
}

/** Undefined where we do not know the system's trust store. */
export function trustPlan(target: TrustTarget): TrustPlan | undefined {
  const { platform, has, caFile } = target
  const name = `nearcast-${target.fingerprint256.replaceAll(':', '').slice(0, 8).toLowerCase()}`
  if (platform === 'darwin') {
    const keychain = '/Library/Keychains/System.keychain'
    return {
      system: 'macOS',
      commands: [['security', 'add-trusted-cert', '-d', '-r', 'trustRoot', '-k', keychain, caFile]],
    }
  }
  if (platform !== 'linux') return undefined
  const copy = (to: string) => ['install', '-m', '644', caFile, to]
  if (has('/usr/sbin/update-ca-certificates')) {
    return {
      system: 'Debian, Ubuntu or Alpine',
      commands: [copy(`/usr/local/share/ca-certificates/${name}.crt`), ['update-ca-certificates']],
    }
  }
  if (has('/etc/pki/ca-trust/source/anchors')) {
    return {
      system: 'Fedora, RHEL or a relative',
      commands: [copy(`/etc/pki/ca-trust/source/anchors/${name}.pem`), ['update-ca-trust']],
    }
  }
  if (has('/etc/ca-certificates/trust-source/anchors')) {
    return {
      system: 'Arch Linux',
      commands: [
        copy(`/etc/ca-certificates/trust-source/anchors/${name}.crt`),
        ['update-ca-trust'],
      ],
    }
  }
  return undefined
}

/** The plan as lines for a shell. */
export function shellLines(plan: TrustPlan, prefix = 'sudo '): string[] {
  return plan.commands.map((command) => prefix + command.map(quote).join(' '))
}

function quote(argument: string): string {
  if (/^[A-Za-z0-9_./:=-]+$/.test(argument)) return argument
  return `'${argument.replaceAll("'", `'\\''`)}'`
}

export type RunCommand = (command: string, args: readonly string[]) => Promise<unknown>

const runLimitMs = 60_000
const execFileAsync = promisify(execFile)
const runForReal: RunCommand = (command, args) =>
  execFileAsync(command, [...args], { timeout: runLimitMs })

/** Runs the plan; the first command that fails ends it with an error that shows the command. */
export async function applyTrust(plan: TrustPlan, run: RunCommand = runForReal): Promise<void> {
  for (const [command = '', ...args] of plan.commands) {
    try {
      await run(command, args)
    } catch (cause) {
      const line = [command, ...args].map(quote).join(' ')
      throw new ServiceError(`"${line}" failed: ${messageOf(cause).trim()}`, {
        code: 'trust-failed',
        source: 'internal',
        cause,
      })
    }
  }
}
