// Whether an ffmpeg is there and runs.
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { messageOf } from '../../common/errors.ts'

const timeoutMs = 5_000

export async function ffmpegVersion(command: string): Promise<{ ok: boolean; detail: string }> {
  try {
    const { stdout } = await promisify(execFile)(command, ['-version'], { timeout: timeoutMs })
    return { ok: true, detail: /version (\S+)/.exec(stdout)?.[1] ?? 'unknown version' }
  } catch (err) {
    return { ok: false, detail: messageOf(err) }
  }
}
