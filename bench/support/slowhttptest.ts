// slowhttptest as thousands of readers who take next to nothing, and what its output says of them.
import { runCommand } from './processes.ts'
import { requiredPath } from './tools.ts'

export interface SlowReadersOptions {
  core: number
  url: string
  readers: number
  bytesPerSecond: number
  seconds: number
}

export interface SlowReadersFigures {
  /** At the end. */
  connected: number
  /** By the server, until the end. */
  closed: number
  errors: number
}

export async function runSlowReaders(options: SlowReadersOptions): Promise<SlowReadersFigures> {
  const { core, url, readers, bytesPerSecond, seconds } = options
  const output = await runCommand(core, [
    ...[requiredPath('slowhttptest'), '-X', '-u', url],
    ...['-c', String(readers), '-r', '1000', '-l', String(seconds), '-p', '10'],
    // A window of less than a packet: the system keeps no copy of what the server could send.
    ...['-w', '512', '-y', '1024', '-n', '1', '-z', String(bytesPerSecond), '-k', '1'],
  ])
  return readSlowReaders(output)
}

/** Throws where the text is not that of slowhttptest. */
export function readSlowReaders(output: string): SlowReadersFigures {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: it colours what it prints.
  const text = output.replaceAll(/\x1b\[[0-9;]*[A-Za-z]/g, '')
  const last = (name: string) => [...text.matchAll(new RegExp(`${name}:\\s+(\\d+)`, 'g'))].at(-1)
  const [connected, closed, errors] = ['connected', 'closed', 'error'].map(last)
  if (!connected || !closed || !errors) throw new Error(`slowhttptest did not run:\n${text}`)
  return { connected: Number(connected[1]), closed: Number(closed[1]), errors: Number(errors[1]) }
}
