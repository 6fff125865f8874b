// Turns a publisher's tags into runs of media. A run has the same sequence headers and unbroken time from its
// first sample to its last; each becomes a take.
//
// Rules:
// - A run begins when both tracks have shown their headers, or when one has and the other stayed silent for
//   `trackWaitMs`; with a picture, at a keyframe.
// - A header that differs by a byte, a track that comes late, or a jump of time ends the run; the next one
//   begins at a keyframe. What ffmpeg would make of those instead: undecodable copies, frozen timelines.
// - Times of a run count from its first sample, plus a lead: sound may start a little before the picture.
import { type Refusal, refusal } from '../../common/contract/refusal.ts'
import type { Parsed } from '../../media/parsed.ts'
import type { MediaMessage } from '../../media/rtmp/message.ts'
import {
  type AudioTrack,
  checkTracks,
  type InputLimits,
  type InputTracks,
  type VideoTrack,
} from './input-check.ts'
import { readTag } from './input-tracks.ts'

export interface InputSample {
  kind: 'audio' | 'video'
  /** From `runLeadMs` on. */
  timestampMs: number
  isKeyframe: boolean
  payload: Buffer
}

export type InputStep =
  /** `claimedVideoBitsPerSecond` is from the encoder's metadata; 0 where it says nothing. */
  | { kind: 'run'; tracks: InputTracks; claimedVideoBitsPerSecond: number }
  | { kind: 'sample'; sample: InputSample }
  | { kind: 'refused'; refusal: Refusal }

export interface TrackParsers {
  video(config: Buffer): Parsed<VideoTrack>
  audio(config: Buffer): Parsed<AudioTrack>
}

/** Time of a run's first sample. */
export const runLeadMs = 1_000

const maxJumpForwardMs = 2_000
const maxJumpBackMs = 500
/** Nothing but metadata for so long is no stream. */
const noMediaMs = 10_000
const maxPendingTags = 2_000
const maxPendingBytes = 16 * 1024 * 1024
/** So many samples in a row that fit no timeline are a broken publisher. */
const maxMisplaced = 500

export class InputReader {
  readonly #limits: InputLimits
  readonly #parsers: TrackParsers
  readonly #startedMs: number
  #tracks: InputTracks = { video: undefined, audio: undefined }
  #state: 'waiting' | 'keyframe' | 'running' | 'refused' = 'waiting'
  /** Samples that came before the tracks were known. */
  #pending: MediaMessage[] = []
  #pendingBytes = 0
  #firstHeaderMs: number | undefined
  #baseMs = 0
  #lastMs: { audio?: number; video?: number } = {}
  #misplaced = 0
  #claimedVideoBitsPerSecond = 0

  constructor(limits: InputLimits, parsers: TrackParsers, nowMs: number) {
    this.#limits = limits
    this.#parsers = parsers
    this.#startedMs = nowMs
  }

  push(tag: MediaMessage, nowMs: number): InputStep[] {
    const steps: InputStep[] = []
    this.#push(tag, nowMs, steps)
    return steps
  }

  /** For the deadlines; call it a few times per second. */
  tick(nowMs: number): InputStep[] {
    const steps: InputStep[] = []
    this.#checkDeadlines(nowMs, steps)
    return steps
  }

  #checkDeadlines(nowMs: number, steps: InputStep[]): void {
    if (this.#state !== 'waiting') return
    if (this.#firstHeaderMs !== undefined) {
      if (nowMs - this.#firstHeaderMs >= this.#limits.trackWaitMs) this.#settle(steps)
    } else if (nowMs - this.#startedMs >= noMediaMs) {
      this.#refuse(refusal('no-media'), steps)
    }
  }

  #push(tag: MediaMessage, nowMs: number, steps: InputStep[]): void {
    if (this.#state === 'refused') return
    const content = readTag(tag)
    switch (content.kind) {
      case 'ignored':
        return
      case 'metadata':
        this.#claimedVideoBitsPerSecond = content.videoBitsPerSecond
        return
      case 'refused':
        this.#refuse(content.refusal, steps)
        return
      case 'video-config':
      case 'audio-config':
        this.#onConfig(content.kind === 'video-config' ? 'video' : 'audio', content.config, steps)
        this.#firstHeaderMs ??= nowMs
        if (this.#state === 'waiting' && this.#tracks.video && this.#tracks.audio) {
          this.#settle(steps)
        }
        this.#checkDeadlines(nowMs, steps)
        return
      default:
        if (this.#state === 'waiting') {
          this.#pending.push(tag)
          this.#pendingBytes += tag.payload.length
          const isFull =
            this.#pending.length >= maxPendingTags || this.#pendingBytes >= maxPendingBytes
          if (isFull) {
            if (this.#firstHeaderMs === undefined) {
              this.#refuse(refusal('input-broken', 'Media came without its headers.'), steps)
            } else this.#settle(steps)
          } else this.#checkDeadlines(nowMs, steps)
          return
        }
        this.#onSample(tag, content.kind === 'video' && content.isKeyframe, steps)
    }
  }

  #onConfig(kind: 'video' | 'audio', config: Buffer, steps: InputStep[]): void {
    if (this.#tracks[kind]?.config.equals(config)) return
    // The reader's buffer may be reused.
    const kept = Buffer.from(config)
    const track = this.#parsers[kind](kept)
    if ('fault' in track) {
      this.#refuse(refusal('input-broken', `The publisher sent ${track.fault}.`), steps)
      return
    }
    this.#tracks = { ...this.#tracks, [kind]: track.value }
    const refused = checkTracks(this.#tracks, this.#limits)
    if (refused) this.#refuse(refused, steps)
    else if (this.#state === 'running') this.#state = 'keyframe'
  }

  /** The tracks are known: goes through what came before. */
  #settle(steps: InputStep[]): void {
    this.#state = 'keyframe'
    const pending = this.#pending
    this.#pending = []
    this.#pendingBytes = 0
    for (const tag of pending) {
      if (this.#state === ('refused' as string)) return
      const content = readTag(tag)
      this.#onSample(tag, content.kind === 'video' && content.isKeyframe, steps)
    }
  }

  #onSample(tag: MediaMessage, isKeyframe: boolean, steps: InputStep[]): void {
    const kind = tag.kind as 'audio' | 'video'
    if (!this.#tracks[kind]) return
    if (this.#state === 'running' && this.#isJump(kind, tag.timestampMs)) this.#state = 'keyframe'
    if (this.#state === 'keyframe') {
      const mayBegin = this.#tracks.video ? kind === 'video' && isKeyframe : true
      if (!mayBegin) return
      this.#state = 'running'
      this.#baseMs = tag.timestampMs
      this.#lastMs = {}
      this.#misplaced = 0
      steps.push({
        kind: 'run',
        tracks: this.#tracks,
        claimedVideoBitsPerSecond: this.#claimedVideoBitsPerSecond,
      })
    }
    const relativeMs = tag.timestampMs - this.#baseMs + runLeadMs
    // The other track's time has not jumped yet, or never will.
    if (relativeMs < 0 || this.#isApart(kind, tag.timestampMs)) {
      if (++this.#misplaced > maxMisplaced) {
        const message = 'The times of audio and video lie far apart.'
        this.#refuse(refusal('input-broken', message), steps)
      }
      return
    }
    this.#misplaced = 0
    // Encoders step back by a few milliseconds at times; the muxer must not see it.
    const timestampMs = Math.max(tag.timestampMs, this.#lastMs[kind] ?? tag.timestampMs)
    this.#lastMs[kind] = timestampMs
    steps.push({
      kind: 'sample',
      sample: {
        kind,
        timestampMs: timestampMs - this.#baseMs + runLeadMs,
        isKeyframe,
        payload: tag.payload,
      },
    })
  }

  #isJump(kind: 'audio' | 'video', timestampMs: number): boolean {
    const last = this.#lastMs[kind]
    if (last === undefined) return false
    return timestampMs - last > maxJumpForwardMs || last - timestampMs > maxJumpBackMs
  }

  /** The first sample of a track must lie near the other track's time. */
  #isApart(kind: 'audio' | 'video', timestampMs: number): boolean {
    if (this.#lastMs[kind] !== undefined) return false
    const other = this.#lastMs[kind === 'audio' ? 'video' : 'audio']
    return other !== undefined && Math.abs(timestampMs - other) > maxJumpForwardMs
  }

  #refuse(refused: Refusal, steps: InputStep[]): void {
    this.#state = 'refused'
    this.#pending = []
    steps.push({ kind: 'refused', refusal: refused })
  }
}
