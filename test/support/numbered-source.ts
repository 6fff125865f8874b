// An encoder's output without end: a clip over and over, every frame numbered, with the clock of an encoder that
// counts frames, so that no seam shows.
import type { MediaMessage } from '../../media/rtmp/message.ts'
import { type FrameKind, frameOffset, withNumber } from './numbered-media.ts'
import { type Clip, headersOf } from './publisher-clips.ts'

export interface NumberedFrame {
  kind: FrameKind
  number: number
  isKeyframe: boolean
  message: MediaMessage
}

export interface NumberedSourceOptions {
  /** Without B-frames; begins with a keyframe. */
  clip: Clip
  framesPerSecond: number
  sampleRate: number
  firstNumber?: number
}

const samplesPerFrame = 1024

export class NumberedSource {
  /** What decoders need before the first frame. */
  readonly headers: Clip
  readonly #frames: Record<FrameKind, MediaMessage[]> = { video: [], audio: [] }
  readonly #frameMs: Record<FrameKind, number>
  /** Since the last start. */
  readonly #given: Record<FrameKind, number> = { video: 0, audio: 0 }
  readonly #nextNumber: Record<FrameKind, number>

  constructor({ clip, framesPerSecond, sampleRate, firstNumber = 0 }: NumberedSourceOptions) {
    this.#nextNumber = { video: firstNumber, audio: firstNumber }
    this.headers = headersOf(clip)
    for (const message of clip) {
      if (message.kind !== 'data' && frameOffset(message) !== undefined) {
        this.#frames[message.kind].push(message)
      }
    }
    this.#frameMs = { video: 1000 / framesPerSecond, audio: (samplesPerFrame * 1000) / sampleRate }
  }

  /** As an encoder that connects anew: times from zero, a keyframe first. Numbers go on. */
  restart(): void {
    this.#given.video = 0
    this.#given.audio = 0
  }

  /** Every frame whose time has come, in the order of their times. */
  *framesUntil(elapsedMs: number): Generator<NumberedFrame> {
    for (;;) {
      const kind = this.#dueMs('audio') < this.#dueMs('video') ? 'audio' : 'video'
      const dueMs = this.#dueMs(kind)
      if (!(dueMs <= elapsedMs)) return
      yield this.#give(kind, Math.round(dueMs))
    }
  }

  #dueMs(kind: FrameKind): number {
    if (this.#frames[kind].length === 0) return Number.POSITIVE_INFINITY
    return this.#given[kind] * this.#frameMs[kind]
  }

  #give(kind: FrameKind, timestampMs: number): NumberedFrame {
    const frames = this.#frames[kind]
    const message = frames[this.#given[kind]++ % frames.length]!
    const number = this.#nextNumber[kind]++
    const isKeyframe = kind === 'audio' || message.payload[0]! >> 4 === 1
    return { kind, number, isKeyframe, message: withNumber({ ...message, timestampMs }, number) }
  }
}
