// What publishers send, as tests need it: made by ffmpeg, then bent message by message. Each message has a time
// on its face and a time when it is sent, which faults pull apart.
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { FlvReader } from '../../media/flv/tag-reader.ts'
import type { MediaKind, MediaMessage } from '../../media/rtmp/message.ts'
import type { RtmpTestClient } from './rtmp-client.ts'

const run = promisify(execFile)

export interface ClipMessage extends MediaMessage {
  /** Milliseconds since the start of the publish, at the speed of life. */
  dueMs: number
}

export type Clip = readonly ClipMessage[]

export interface ClipOptions {
  seconds: number
  size?: string
  framesPerSecond?: number
  /** Frames between keyframes, or the seconds at which they come. */
  keyframes?: number | readonly number[]
  bFrames?: number
  /** ffmpeg filters before the encoder; frames may be left out. */
  videoFilter?: string
  /** How many bits x264 spends: `-crf 23`, `-b:v 500k`. */
  rateControl?: readonly string[]
  video?: boolean
  audio?: boolean
  sampleRate?: number
  channels?: number
}

const made = new Map<string, Promise<Clip>>()

/** Headers first; times begin at 0. */
export function clip(options: ClipOptions): Promise<Clip> {
  const key = JSON.stringify(options)
  let found = made.get(key)
  if (!found) {
    found = makeClip(options)
    made.set(key, found)
  }
  return found
}

async function makeClip(options: ClipOptions): Promise<Clip> {
  const { seconds, size = '160x90', framesPerSecond = 30, keyframes = framesPerSecond } = options
  const { sampleRate = 48_000, channels = 2, bFrames = 0, videoFilter } = options
  const args = ['-v', 'error', '-nostdin']
  if (options.video !== false) {
    args.push('-f', 'lavfi', '-i', `testsrc2=size=${size}:rate=${framesPerSecond}`)
  }
  if (options.audio !== false) args.push('-f', 'lavfi', '-i', `sine=sample_rate=${sampleRate}`)
  args.push('-t', `${seconds}`)
  if (options.video !== false) {
    const gop =
      typeof keyframes === 'number'
        ? ['-g', `${keyframes}`]
        : ['-g', '10000', '-force_key_frames', keyframes.join(',')]
    args.push(
      ...['-c:v', 'libx264', '-preset', bFrames > 0 ? 'veryfast' : 'ultrafast', '-threads', '1'],
      ...['-pix_fmt', 'yuv420p', '-bf', `${bFrames}`, '-sc_threshold', '0', ...gop],
      ...(options.rateControl ?? []),
      ...(videoFilter ? ['-vf', videoFilter, '-fps_mode', 'passthrough'] : []),
    )
  }
  if (options.audio !== false) args.push('-c:a', 'aac', '-b:a', '64k', '-ac', `${channels}`)
  args.push('-flvflags', 'no_duration_filesize', '-f', 'flv', 'pipe:1')
  const { stdout } = await run('ffmpeg', args, { encoding: 'buffer', maxBuffer: 64 * 1024 * 1024 })
  const read = new FlvReader().read(stdout)
  if ('fault' in read) throw new Error(read.fault)
  return read.value.map((it) => ({ ...it, dueMs: it.timestampMs }))
}

/** As `headers` sends them: no frame yet. */
export function headersOf(messages: Clip, kind?: MediaKind): Clip {
  return messages.filter((it) => isHeader(it) && (kind === undefined || it.kind === kind))
}

/** Frames of that time, headers not among them. */
export function between(messages: Clip, fromSeconds: number, untilSeconds: number): Clip {
  return messages.filter(
    (it) => !isHeader(it) && it.dueMs >= fromSeconds * 1000 && it.dueMs < untilSeconds * 1000,
  )
}

export function without(messages: Clip, kind: MediaKind): Clip {
  return messages.filter((it) => it.kind !== kind)
}

/** The same, so much later. */
export function later(messages: Clip, seconds: number): Clip {
  const ms = seconds * 1000
  return messages.map((it) => ({
    ...it,
    dueMs: it.dueMs + ms,
    timestampMs: it.timestampMs + ms,
  }))
}

/** Says another time than it is; a time that has no place in 32 bits wraps. */
export function mislabelled(messages: Clip, seconds: number): Clip {
  return messages.map((it) => ({ ...it, timestampMs: it.timestampMs + seconds * 1000 }))
}

/** Metadata are there for nobody's sake: a header is what decoders need. */
function isHeader({ kind, payload }: MediaMessage): boolean {
  if (kind === 'data') return true
  const isAvc = kind === 'video' && (payload[0]! & 0x0f) === 7
  const isAac = kind === 'audio' && payload[0]! >> 4 === 10
  return (isAvc || isAac) && payload[1] === 0
}

/** Resolves when all is sent, `speed` times as fast as it would happen. */
export async function play(client: RtmpTestClient, messages: Clip, speed = 1): Promise<void> {
  const startMs = performance.now()
  for (const message of messages) {
    const waitMs = message.dueMs / speed - (performance.now() - startMs)
    if (waitMs > 2) await new Promise((resolve) => setTimeout(resolve, waitMs))
    if (client.isClosed) return
    client.send({ ...message, timestampMs: Math.round(message.timestampMs) % 2 ** 32 })
  }
}
