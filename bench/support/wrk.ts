// wrk as a closed-loop load over HTTP/1.1, and what its output says.
import { runCommand } from './processes.ts'
import { requiredPath } from './tools.ts'

export interface LoadFigures {
  requests: number
  seconds: number
  /** Head and body, as read. */
  readBytes: number
  /** Undefined where the load generator does not tell. */
  p50Ms: number | undefined
  p99Ms: number | undefined
  /** Anything here makes the run worthless: what went wrong, in words. */
  faults: string[]
}

export interface WrkOptions {
  core: number
  url: string
  connections: number
  seconds: number
}

export async function runWrk({
  core,
  url,
  connections,
  seconds,
}: WrkOptions): Promise<LoadFigures> {
  const output = await runCommand(core, [
    requiredPath('wrk'),
    ...['--threads', '1', '--connections', String(connections)],
    ...['--duration', `${seconds}s`, '--timeout', '10s', '--latency', url],
  ])
  return readWrk(output)
}

const timeUnits: Record<string, number> = { us: 0.001, ms: 1, s: 1_000, m: 60_000 }
const sizeUnits: Record<string, number> = {
  B: 1,
  KB: 2 ** 10,
  MB: 2 ** 20,
  GB: 2 ** 30,
  TB: 2 ** 40,
}

/** Throws where the text is not that of wrk. */
export function readWrk(output: string): LoadFigures {
  const total = /(\d+) requests in ([\d.]+)(us|ms|s|m), ([\d.]+)([KMGT]?B) read/.exec(output)
  if (!total) throw new Error(`wrk did not measure:\n${output}`)
  const [, requests, time, timeUnit, size, sizeUnit] = total
  const quantile = (percent: number) => {
    const line = new RegExp(`^\\s+${percent}%\\s+([\\d.]+)(us|ms|s|m)$`, 'm').exec(output)
    return line ? Number(line[1]) * timeUnits[line[2]!]! : undefined
  }
  const faults = [/Socket errors: .*/, /Non-2xx or 3xx responses: .*/].flatMap(
    (pattern) => pattern.exec(output)?.[0] ?? [],
  )
  return {
    requests: Number(requests),
    seconds: (Number(time) * timeUnits[timeUnit!]!) / 1000,
    readBytes: Number(size) * sizeUnits[sizeUnit!]!,
    p50Ms: quantile(50),
    p99Ms: quantile(99),
    faults,
  }
}
