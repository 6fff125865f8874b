// Holds what comes first of a publisher whom another transcoder had: nothing counts before the message that its run is
// entered with. Headers are kept, the newest of each track, and let in before it.
//
// A relay begins anew with a keyframe, and sends the sounds behind it that had come before it (common/relay/
// early-sounds.ts). Where it begins with an earlier keyframe, those come in their old order, and are put there here.
import type { ResumePoint } from '../../common/contract/resume-point.ts'
import { earlySounds } from '../../common/relay/early-sounds.ts'
import type { MediaMessage } from '../../media/rtmp/message.ts'
import { readTag } from './input-tracks.ts'

/** Tracks lie no farther apart. */
const mostApartMs = 2_000
/** A replay comes at once. */
const longestWaitMs = 5_000

export type GateAnswer =
  /** Not needed, or kept. */
  | { kind: 'waits' }
  /** The run is entered with the message that came. */
  | { kind: 'entered'; headers: readonly MediaMessage[]; behind: readonly MediaMessage[] }
  /** What would have been needed does not come. */
  | { kind: 'missed'; headers: readonly MediaMessage[] }

export class ResumeGate {
  readonly #input: ResumePoint['input']
  readonly #startedMs: number
  #headers: { video?: MediaMessage; audio?: MediaMessage } = {}
  /** Since the last keyframe, and the early ones of that. */
  #sounds: { ms: number; message: MediaMessage }[] = []

  constructor(input: ResumePoint['input'], nowMs: number) {
    this.#input = input
    this.#startedMs = nowMs
  }

  push(message: MediaMessage, nowMs: number): GateAnswer {
    const content = readTag(message)
    const { video, entry } = this.#input
    if (content.kind === 'video-config') this.#headers.video = message
    if (content.kind === 'audio-config') this.#headers.audio = message
    if (content.kind !== 'video' && content.kind !== 'audio') return { kind: 'waits' }
    if (content.kind === 'video' && content.isKeyframe) {
      this.#sounds = [...earlySounds(this.#sounds, message.timestampMs)]
    }
    const aheadMs = (message.timestampMs - entry.timestampMs) | 0
    const isEntered = content.kind === (video === undefined ? 'audio' : 'video')
    const canEnter = content.kind === 'audio' || content.isKeyframe
    if (isEntered && canEnter && aheadMs === 0) {
      const behind = this.#sounds.map((it) => it.message)
      return { kind: 'entered', headers: this.#kept, behind }
    }
    if (content.kind === 'audio' && video !== undefined) {
      this.#sounds.push({ ms: message.timestampMs, message })
    }
    const isBehind = aheadMs > (isEntered ? 0 : mostApartMs)
    const isLate = nowMs - this.#startedMs > longestWaitMs
    return isBehind || isLate ? { kind: 'missed', headers: this.#kept } : { kind: 'waits' }
  }

  get #kept(): MediaMessage[] {
    return [this.#headers.video, this.#headers.audio].flatMap((it) => it ?? [])
  }
}
