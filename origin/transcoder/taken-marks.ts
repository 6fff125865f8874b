// Knows which messages of a publisher's connection were taken, so that what comes again by another way is left out.
//
// A relay that loses its way here sends anew from a keyframe on: the same messages in the same order. Of each track
// the marks remember its highest time and how many messages were taken from there on, which tells the place exactly,
// also where two messages have one time or a time steps back a little. Times are compared modulo 2^32.
import type { MediaMessage } from '../../media/rtmp/message.ts'
import { readTag } from './input-tracks.ts'

/** A longer step back is another timeline, as it is to the input reader. */
const maxStepBackMs = 500
/** No relay keeps so much: what is so far behind is no replay. */
const longestReplayMs = 60_000
/** Tracks lie no farther apart. */
const mostApartMs = 2_000

export class TakenMarks {
  readonly #tracks = { audio: new TrackMark(), video: new TrackMark() }
  #firstMs: number | undefined
  #newestMs: number | undefined

  /** Time of the first message. */
  get firstMs(): number | undefined {
    return this.#firstMs
  }

  /** Time of the newest message. */
  get newestMs(): number | undefined {
    return this.#newestMs
  }

  /** Another way begins. */
  resume(): void {
    this.#tracks.audio.resume()
    this.#tracks.video.resume()
  }

  /** Whether the message has a time of its own, as frames do. */
  push(message: MediaMessage): { isFrame: boolean; messages: readonly MediaMessage[] } {
    const { kind } = readTag(message)
    const isFrame = kind === 'video' || kind === 'audio'
    const isConfig = kind === 'video-config' || kind === 'audio-config'
    if (message.kind === 'data' || (!isFrame && !isConfig)) return { isFrame, messages: [message] }
    const track = this.#tracks[message.kind]
    if (isConfig) return { isFrame, messages: track.keeps(message) ? [] : [message] }
    if (track.has(message.timestampMs)) return { isFrame, messages: [] }
    this.#note(message.timestampMs)
    return { isFrame, messages: track.take(message) }
  }

  #note(timestampMs: number): void {
    this.#firstMs ??= timestampMs
    const step = stepOf(this.#newestMs ?? timestampMs, timestampMs)
    if (step >= 0 || step < -mostApartMs) this.#newestMs = timestampMs
  }
}

class TrackMark {
  #highestMs: number | undefined
  /** Messages from the highest on, itself among them. */
  #count = 0
  #isBehind = false
  /** How many of those have not come again yet; undefined before the first. */
  #left: number | undefined
  /** The header that holds where the replay has got to. */
  #config: MediaMessage | undefined

  resume(): void {
    this.#isBehind = this.#highestMs !== undefined
    this.#left = undefined
    this.#config = undefined
  }

  /** A header in the replay may be older than the one in force. */
  keeps(config: MediaMessage): boolean {
    if (this.#isBehind) this.#config = config
    return this.#isBehind
  }

  has(timestampMs: number): boolean {
    if (!this.#isBehind) return false
    const step = stepOf(this.#highestMs!, timestampMs)
    if (this.#left === undefined) {
      if (step < 0 && step >= -longestReplayMs) return true
      if (step === 0) this.#left = this.#count
    }
    if (this.#left) {
      this.#left--
      return true
    }
    this.#isBehind = false
    return false
  }

  take(message: MediaMessage): readonly MediaMessage[] {
    const step = stepOf(this.#highestMs ?? message.timestampMs, message.timestampMs)
    const isHighest = this.#highestMs === undefined || step > 0 || step < -maxStepBackMs
    if (isHighest) this.#highestMs = message.timestampMs
    this.#count = isHighest ? 1 : this.#count + 1
    const config = this.#config
    this.#config = undefined
    return config ? [config, message] : [message]
  }
}

/** Modulo 2^32, the shorter way round. */
function stepOf(fromMs: number, toMs: number): number {
  return (toMs - fromMs) | 0
}
