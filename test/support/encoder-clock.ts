// What an encoder sends, with nothing in it but numbers: tracks of any rate, in the order and with the times that
// an encoder gives them.
import type { MediaMessage } from '../../media/rtmp/message.ts'
import type { Clip, ClipMessage } from './publisher-clips.ts'

export interface EncoderClockOptions {
  seconds: number
  framesPerSecond?: number
  /** Pictures from one keyframe to the next. */
  keyframes?: number
  sampleRate?: 48_000 | 44_100
  /** So much later than pictures of its time sound is sent. */
  soundLagMs?: number
  /** How far each time is off. */
  soundJitterMs?: (index: number) => number
  /** Of the publisher's clock, for pictures and sound. */
  firstMs?: number
  /** Of the first frame: each has its own. */
  firstNumber?: number
  /** When the first is due. */
  dueMs?: number
}

const avc360 = '014d401effe10018674d401eeca05017fcb80880000003008000001e078b16cb01000568ebe3cb20'
const aacConfigs = { 48000: '1190', 44100: '1210' }

export function encoderOutput(options: EncoderClockOptions): Clip {
  const { seconds, framesPerSecond = 30, keyframes = 60, sampleRate = 48_000 } = options
  const {
    soundLagMs = 0,
    soundJitterMs = () => 0,
    firstMs = 0,
    dueMs = firstMs,
    firstNumber = 0,
  } = options
  const frames: ClipMessage[] = []
  const add = (kind: MediaMessage['kind'], head: string, ms: number, lateMs: number) => {
    const number = Buffer.alloc(8)
    number.writeUInt32BE(firstNumber + frames.length)
    const payload = Buffer.concat([Buffer.from(head, 'hex'), number])
    const timestampMs = Math.max(0, Math.round(ms)) + firstMs
    frames.push({ kind, timestampMs, payload, dueMs: dueMs + Math.max(0, ms + lateMs) })
  }
  for (let index = 0; index < seconds * framesPerSecond; index++) {
    const head = index % keyframes === 0 ? '1701000000' : '2701000000'
    add('video', head, (index * 1000) / framesPerSecond, 0)
  }
  for (let index = 0; index < (seconds * sampleRate) / 1024; index++) {
    add('audio', 'af01', (index * 1_024_000) / sampleRate + soundJitterMs(index), soundLagMs)
  }
  const header = (kind: MediaMessage['kind'], hex: string) => ({
    ...{ kind, timestampMs: firstMs, payload: Buffer.from(hex, 'hex'), dueMs },
  })
  return [
    header('video', `1700000000${avc360}`),
    header('audio', `af00${aacConfigs[sampleRate]}`),
    ...frames.sort((a, b) => a.dueMs - b.dueMs),
  ]
}
