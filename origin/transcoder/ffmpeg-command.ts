// Finds the ffmpeg that the configuration names and asks it for its version.
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { messageOf } from '../../common/errors.ts'

export interface FfmpegCommand {
  /** Absolute where it was found, since it runs without our environment. */
  path: string
  ok: boolean
  /** Its version, or what is wrong. */
  detail: string
}

const timeoutMs = 5_000
const run = promisify(execFile)

export async function findFfmpeg(command: string): Promise<FfmpegCommand> {
  try {
    const lookUp = await run('/bin/sh', ['-c', 'command -v -- "$1"', 'sh', command])
    const path = lookUp.stdout.trim()
    const { stdout } = await run(path, ['-version'], { timeout: timeoutMs, env: {} })
    return { path, ok: true, detail: /version (\S+)/.exec(stdout)?.[1] ?? 'unknown version' }
  } catch (err) {
    return { path: command, ok: false, detail: messageOf(err) }
  }
}
