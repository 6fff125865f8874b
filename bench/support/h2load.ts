// h2load as a closed-loop load over HTTP/2, and what its output says.
import { runCommand } from './processes.ts'
import { requiredPath } from './tools.ts'
import type { LoadFigures } from './wrk.ts'

export interface H2loadOptions {
  core: number
  url: string
  /** Where to connect, whatever the URL's name resolves to. */
  port: number
  connections: number
  streamsEach: number
  seconds: number
}

export interface H2loadFigures extends LoadFigures {
  /** As negotiated: protocol of TLS, cipher, protocol of the application. */
  negotiated: { tls: string; cipher: string; application: string }
}

export async function runH2load(options: H2loadOptions): Promise<H2loadFigures> {
  const output = await runCommand(options.core, [
    requiredPath('h2load'),
    ...['--threads', '1', '--clients', String(options.connections)],
    ...['--max-concurrent-streams', String(options.streamsEach)],
    ...['--duration', String(options.seconds), '--connect-to', `127.0.0.1:${options.port}`],
    options.url,
  ])
  return readH2load(output, options.seconds)
}

/** Throws where the text is not that of h2load. It is told for how long it runs, and does not say how long it did. */
export function readH2load(output: string, seconds: number): H2loadFigures {
  const counts = /requests: .*?(\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout/.exec(
    output,
  )
  const statuses = /status codes: (\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx/.exec(output)
  const data = /^traffic: .*\((\d+)\) data$/m.exec(output)
  if (!counts || !statuses || !data) throw new Error(`h2load did not measure:\n${output}`)
  const [succeeded, ...lost] = counts.slice(1).map(Number)
  const faults = lost.some((count) => count > 0) ? [counts[0]] : []
  // Its own failures are those of the protocol: an error that was answered well has succeeded.
  if (statuses.slice(2).some((count) => Number(count) > 0)) faults.push(statuses[0])
  const line = (name: string) => new RegExp(`^${name}: (.*)$`, 'm').exec(output)?.[1] ?? 'none'
  return {
    requests: succeeded!,
    seconds,
    readBytes: Number(data[1]),
    p50Ms: undefined,
    p99Ms: undefined,
    faults,
    negotiated: {
      tls: line('TLS Protocol'),
      cipher: line('Cipher'),
      application: line('Application protocol'),
    },
  }
}
