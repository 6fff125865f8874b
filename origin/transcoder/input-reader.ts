// Turns a publisher's tags into runs of media. A run has the same sequence headers and unbroken time from its
// first sample to its last; each becomes a take.
//
// Rules:
// - A run begins when both tracks have shown their headers, or when one has and the other stayed silent for
//   `trackWaitMs`; with a picture, at a keyframe.
// - A header that differs by a byte, a track that comes late, or a jump of time ends the run; the next one
//   begins at a keyframe. What ffmpeg would make of those instead: undecodable copies, frozen timelines.
// - Time jumps where it steps back by half a second, or leaps a second ahead of both the clock on the wall and the
//   other track. Smaller steps back are held: time stands until the publisher has caught up with itself.
// - A run has no hole of more than `maxHoleMs`. A picture that is silent for so long while sound goes on ends the
//   run until its next keyframe. Sound that is silent ends it too; the next run does without, until sound has been
//   back for `soundBackMs` beside the picture. Else each run would end like the one before.
// - A publisher whose first keyframe does not come within the longest keyframe interval is refused.
// - Times of a run count from its first sample, plus a lead: sound may start a little before the picture.

import { type Refusal, refusal } from '../../common/contract/refusal.ts'
import type { InputEntry, ResumePoint } from '../../common/contract/resume-point.ts'
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
import { SoundTrail } from './sound-trail.ts'

export interface InputSample {
  kind: 'audio' | 'video'
  /** From `runLeadMs` on. */
  timestampMs: number
  /** As the publisher has it. */
  publisherMs: number
  isKeyframe: boolean
  payload: Buffer
  /** Where the source can be entered, at a keyframe or without a picture: how the reader stands before it. */
  entry?: InputEntry | undefined
  /** There: so many of the run's last sounds a relay sends again behind it. */
  soundsAgain?: number
}

/** Why a run could not go on as part of the one before. */
export type RunReason =
  | 'first'
  /** A sequence header changed, or that of another track came. */
  | 'headers'
  /** Timestamps leapt, forward or back. */
  | 'jump'
  /** A track had nothing for so long that a hole would be left. */
  | 'silent'
  /** Sound that was silent is back. */
  | 'sound-back'
  /** It goes on where another transcoder has left it. */
  | 'resumed'

export type InputStep =
  | {
      kind: 'run'
      tracks: InputTracks
      /** From the encoder's metadata; 0 where it says nothing. */
      claimedVideoBitsPerSecond: number
      reason: RunReason
      /** From the first sample of the run before to that of this one, by the publisher's clock. */
      sinceLastMs: number | undefined
    }
  | { kind: 'sample'; sample: InputSample }
  | { kind: 'refused'; refusal: Refusal }

export interface TrackParsers {
  video(config: Buffer): Parsed<VideoTrack>
  audio(config: Buffer): Parsed<AudioTrack>
}

/** Time of a run's first sample. */
export const runLeadMs = 1_000

const maxJumpForwardMs = 1_000
const maxJumpBackMs = 500
const maxHoleMs = 2_000
/**
 * A publisher that says nothing for so long has a hole: with an open segment of two seconds before it, the next one is
 * listed within 1.5 target durations (RFC 8216bis §6.2.2).
 */
const mostSilentMs = 4_000
/** Between the first samples of two tracks, and between sound that comes back and its picture. */
const maxApartMs = 2_000
const soundBackMs = 1_000
/** Nothing but metadata for so long is no stream. */
const noMediaMs = 10_000
/** Whoever joins in the middle of the longest keyframe interval has a little time on the way. */
const firstKeyframeSlackMs = 500
const maxPendingTags = 2_000
const maxPendingBytes = 16 * 1024 * 1024
/** So many samples in a row that fit no timeline are a broken publisher. */
const maxMisplaced = 500

type SampleKind = 'audio' | 'video'

interface Arrival {
  tag: MediaMessage
  nowMs: number
  /** At the relay that owns the publisher: what times of the publisher are compared with. */
  arrivedMs: number
}

export class InputReader {
  readonly #limits: InputLimits
  readonly #parsers: TrackParsers
  readonly #startedMs: number
  #tracks: InputTracks = { video: undefined, audio: undefined }
  #state: 'waiting' | 'keyframe' | 'running' | 'refused' = 'waiting'
  /** Samples that came before the tracks were known. */
  #pending: Arrival[] = []
  #pendingBytes = 0
  #firstHeaderMs: number | undefined
  #hasRun = false
  #baseMs = 0
  /** Of the run's samples. */
  #lastMs: InputEntry['lastMs'] = {}
  /** When they came. */
  #arrivedMs: { audio?: number; video?: number } = {}
  /** When the newest of them came here. */
  #heardMs = 0
  /** Of the newest picture, in a run or not. */
  #pictureMs: number | undefined
  #reason: RunReason = 'first'
  #isSoundMissing = false
  /** Missing sound that comes again: its first and its newest time. */
  #soundBack: { sinceMs: number; lastMs: number } | undefined
  #misplaced = 0
  readonly #trail = new SoundTrail()
  /** So many sounds are none of the run's. */
  #soundsToSkip = 0
  #claimedVideoBitsPerSecond = 0

  constructor(limits: InputLimits, parsers: TrackParsers, nowMs: number) {
    this.#limits = limits
    this.#parsers = parsers
    this.#startedMs = nowMs
  }

  /** False before the first run, and from the end of a run until the next one begins. */
  get isRunning(): boolean {
    return this.#state === 'running'
  }

  /** Both times are monotonic; `arrivedMs` is earlier than now in a replay of what a relay has kept. */
  push(tag: MediaMessage, nowMs: number, arrivedMs = nowMs): InputStep[] {
    const steps: InputStep[] = []
    this.#push({ tag, nowMs, arrivedMs }, steps)
    return steps
  }

  /**
   * Goes on in the run that another reader was in, once the headers are known; the message of its entry comes next.
   * Its times are so much later than that one's. Undefined where the headers are others.
   */
  resume(
    { video, audio, entry }: ResumePoint['input'],
    laterMs: number,
    nowMs: number,
  ): InputStep | undefined {
    const tracks = this.#tracks
    const moved = (ms: number | undefined) => (ms === undefined ? undefined : ms + laterMs)
    if (this.#state === 'refused') return undefined
    if (!isConfig(tracks.video, video) || !isConfig(tracks.audio, audio)) return undefined
    this.#state = 'running'
    this.#hasRun = true
    this.#baseMs = entry.baseMs + laterMs
    this.#lastMs = { video: moved(entry.lastMs.video), audio: moved(entry.lastMs.audio) }
    this.#heardMs = nowMs
    this.#soundsToSkip = entry.otherSounds ?? 0
    return this.#runStep('resumed', undefined)
  }

  /** For the deadlines; call it a few times per second. */
  tick(nowMs: number): InputStep[] {
    const steps: InputStep[] = []
    this.#checkDeadlines(nowMs, steps)
    return steps
  }

  #checkDeadlines(nowMs: number, steps: InputStep[]): void {
    if (this.#state === 'keyframe' && !this.#hasRun) this.#checkFirstKeyframe(nowMs, steps)
    if (this.#state === 'running' && nowMs - this.#heardMs >= mostSilentMs) this.#endRun('silent')
    if (this.#state !== 'waiting') return
    if (this.#firstHeaderMs !== undefined) {
      if (nowMs - this.#firstHeaderMs >= this.#limits.trackWaitMs) this.#settle(steps)
    } else if (nowMs - this.#startedMs >= noMediaMs) {
      this.#refuse(refusal('no-media'), steps)
    }
  }

  /** Nothing was published yet, and perhaps never will be: the publisher must hear of it. */
  #checkFirstKeyframe(nowMs: number, steps: InputStep[]): void {
    const seconds = this.#limits.maxKeyframeIntervalSeconds
    if (nowMs - (this.#firstHeaderMs ?? nowMs) < seconds * 1000 + firstKeyframeSlackMs) return
    const refused =
      this.#pictureMs === undefined
        ? refusal('no-media', 'A video header came, and no pictures after it.')
        : refusal(
            'keyframe-interval-too-long',
            `No keyframe came for ${seconds} seconds. Set the keyframe interval to 2 seconds.`,
          )
    this.#refuse(refused, steps)
  }

  #push(arrival: Arrival, steps: InputStep[]): void {
    const { tag, nowMs } = arrival
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
          this.#pending.push(arrival)
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
        this.#onSample(arrival, content.kind === 'video' && content.isKeyframe, steps)
    }
  }

  #onConfig(kind: SampleKind, config: Buffer, steps: InputStep[]): void {
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
    else this.#endRun('headers')
    if (kind === 'audio') this.#isSoundMissing = false
  }

  #endRun(reason: RunReason): void {
    if (this.#state !== 'running') return
    this.#state = 'keyframe'
    this.#reason = reason
    this.#soundBack = undefined
  }

  /** The tracks are known: goes through what came before. */
  #settle(steps: InputStep[]): void {
    this.#state = 'keyframe'
    const pending = this.#pending
    this.#pending = []
    this.#pendingBytes = 0
    for (const arrival of pending) {
      if (this.#state === ('refused' as string)) return
      const content = readTag(arrival.tag)
      this.#onSample(arrival, content.kind === 'video' && content.isKeyframe, steps)
    }
  }

  #onSample({ tag, nowMs, arrivedMs }: Arrival, isKeyframe: boolean, steps: InputStep[]): void {
    const kind = tag.kind as SampleKind
    if (!this.#tracks[kind]) return
    if (kind === 'video') this.#pictureMs = tag.timestampMs
    else if (this.#isSoundMissing && !this.#isSoundBack(tag.timestampMs)) return
    else if (this.#soundsToSkip > 0) {
      this.#soundsToSkip--
      this.#trail.pass(tag.timestampMs)
      return
    }
    const broken = this.#whyBroken(kind, tag.timestampMs, arrivedMs)
    if (broken) this.#endRun(broken)
    if (this.#state === 'keyframe') {
      const mayBegin = this.#tracks.video ? kind === 'video' && isKeyframe : true
      if (!mayBegin) {
        if (kind === 'audio') this.#trail.pass(tag.timestampMs)
        return
      }
      this.#startRun(tag.timestampMs, steps)
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
    const entry = this.#entryAt(kind, tag.timestampMs, isKeyframe)
    if (kind === 'audio') this.#trail.take(tag.timestampMs, this.#lastMs.audio)
    this.#lastMs[kind] = timestampMs
    this.#arrivedMs[kind] = arrivedMs
    this.#heardMs = nowMs
    steps.push({
      kind: 'sample',
      sample: {
        kind,
        timestampMs: timestampMs - this.#baseMs + runLeadMs,
        publisherMs: tag.timestampMs,
        isKeyframe,
        payload: tag.payload,
        ...entry,
      },
    })
  }

  /** Nothing where the source cannot be entered with it. */
  #entryAt(
    kind: SampleKind,
    timestampMs: number,
    isKeyframe: boolean,
  ): Pick<InputSample, 'entry' | 'soundsAgain'> {
    const here = { timestampMs, baseMs: this.#baseMs }
    if (kind === 'audio') {
      return this.#tracks.video ? {} : { entry: { ...here, lastMs: { ...this.#lastMs } } }
    }
    if (!isKeyframe) return {}
    const { others, again, lastMs } = this.#trail.enter(timestampMs, this.#lastMs.audio)
    return {
      entry: {
        ...here,
        lastMs: { ...this.#lastMs, audio: lastMs },
        // Those that are still to be skipped behind it are none of the run's either.
        otherSounds: others + this.#soundsToSkip,
      },
      soundsAgain: again,
    }
  }

  #startRun(timestampMs: number, steps: InputStep[]): void {
    const goesOn = this.#hasRun && this.#reason !== 'jump'
    const sinceLastMs = goesOn ? timestampMs - this.#baseMs : undefined
    this.#state = 'running'
    this.#hasRun = true
    this.#baseMs = timestampMs
    this.#lastMs = {}
    this.#arrivedMs = {}
    this.#misplaced = 0
    this.#soundsToSkip = 0
    this.#trail.beginRun()
    steps.push(this.#runStep(this.#reason, sinceLastMs))
  }

  #runStep(reason: RunReason, sinceLastMs: number | undefined): InputStep {
    const { video, audio } = this.#tracks
    return {
      kind: 'run',
      tracks: { video, audio: this.#isSoundMissing ? undefined : audio },
      claimedVideoBitsPerSecond: this.#claimedVideoBitsPerSecond,
      reason,
      sinceLastMs,
    }
  }

  /** Why this sample cannot be in the run. */
  #whyBroken(kind: SampleKind, timestampMs: number, arrivedMs: number): RunReason | undefined {
    if (this.#state !== 'running') return undefined
    const other = kind === 'video' ? 'audio' : 'video'
    const last = this.#lastMs[kind]
    const otherLast = this.#lastMs[other]
    if (last !== undefined) {
      const stepMs = timestampMs - last
      if (stepMs < -maxJumpBackMs) return 'jump'
      // A hole: the clock went on, or the other track did, as when an encoder drops pictures it cannot send.
      const elapsedMs = arrivedMs - (this.#arrivedMs[kind] ?? arrivedMs)
      const otherStepMs = otherLast === undefined ? 0 : otherLast - last
      if (stepMs - Math.max(elapsedMs, otherStepMs) > maxJumpForwardMs) return 'jump'
      if (stepMs > maxHoleMs) return 'silent'
    } else if (this.#isApart(kind, timestampMs)) return undefined
    const isOtherHere = this.#tracks[other] && !(other === 'audio' && this.#isSoundMissing)
    if (!isOtherHere || timestampMs - (otherLast ?? this.#baseMs) <= maxHoleMs) return undefined
    if (other === 'audio') this.#isSoundMissing = true
    return 'silent'
  }

  /** Sound that was missing came; the run with it begins at a keyframe. */
  #isSoundBack(timestampMs: number): boolean {
    const isBeside =
      this.#pictureMs !== undefined && Math.abs(timestampMs - this.#pictureMs) <= maxApartMs
    if (!isBeside) {
      this.#soundBack = undefined
      return false
    }
    const back = this.#soundBack
    const stepMs = back ? timestampMs - back.lastMs : 0
    const isUnbroken = back && stepMs >= -maxJumpBackMs && stepMs <= maxJumpForwardMs
    this.#soundBack = {
      sinceMs: isUnbroken ? back.sinceMs : timestampMs,
      lastMs: timestampMs,
    }
    if (timestampMs - this.#soundBack.sinceMs < soundBackMs) return false
    this.#isSoundMissing = false
    this.#endRun('sound-back')
    return true
  }

  /** The first sample of a track must lie near the other track's time. */
  #isApart(kind: SampleKind, timestampMs: number): boolean {
    if (this.#lastMs[kind] !== undefined) return false
    const other = this.#lastMs[kind === 'audio' ? 'video' : 'audio']
    return other !== undefined && Math.abs(timestampMs - other) > maxApartMs
  }

  #refuse(refused: Refusal, steps: InputStep[]): void {
    this.#state = 'refused'
    this.#pending = []
    steps.push({ kind: 'refused', refusal: refused })
  }
}

function isConfig(track: { config: Buffer } | undefined, base64: string | undefined): boolean {
  return track?.config.toString('base64') === base64
}
