// One set of rungs from one instant to another, whatever happens to the ffmpegs that make it: when one is gone, the
// next is fed from the last keyframe of the source that it needs, and each rung begins exactly where its last sample
// ended. An encoder's first frame is a keyframe, so a rung goes on as if nothing had been. Where that keyframe is kept
// no longer, it goes on with the oldest that is.
import type { Clock } from '../../common/clock.ts'
import type { Logger } from '../../common/log.ts'
import type { ProcessGuard } from '../../common/process-guard.ts'
import type { InitTrack } from '../../media/mp4/init-section.ts'
import type { AudioTrackConfig, MediaSample, VideoTrackConfig } from '../../media/mp4/track.ts'
import { encodedFrameSamples, encodedSampleRate, type KeyframeRule } from './encoder-args.ts'
import { type EncoderExit, EncoderSession } from './encoder-session.ts'
import type { PlannedVideo } from './ladder.ts'
import type { KeptSample, ResumePoint, SampleHistory } from './sample-history.ts'

export interface EncoderSettings {
  video: VideoTrackConfig | undefined
  /** Only where sound must be encoded. */
  audio?: AudioTrackConfig | undefined
  encodedAudioName?: string | undefined
  keyframes: KeyframeRule
  /** As measured; undefined where it is not known. */
  framesPerSecond?: number | undefined
  preset: string
  audioBitsPerSecond: number
  command: string
  guard: ProcessGuard
  clock: Clock
  log: Logger
  stallMs: number
}

export type LadderEvent =
  | { kind: 'init'; rendition: string; bytes: Buffer; track: InitTrack }
  | { kind: 'sample'; rendition: string; sample: MediaSample }
  /** What comes next has another init section. */
  | { kind: 'init-changed'; rendition: string }
  | { kind: 'dropped'; rendition: string }

export type FailureKind = 'crashed' | 'stalled' | 'broken'

export interface LadderLegOptions {
  settings: EncoderSettings
  /** From the tallest down. */
  rungs: readonly PlannedVideo[]
  /** Presentation time of its first frame, of all rungs or by name; undefined where there are no pictures. */
  fromTicks: number | ReadonlyMap<string, number> | undefined
  audioFromTicks: number | undefined
  history: SampleHistory
  onEvent: (event: LadderEvent) => void
  onSession: (session: EncoderSession) => void
  /** Answers whether to try again. */
  onFailure: (kind: FailureKind, detail: string) => boolean
  /** What another ffmpeg would need is gone. */
  onLost: () => void
  /** All that it was to make has been told. */
  onComplete: () => void
}

interface RungState {
  kind: 'video' | 'audio'
  /** Where its next sample begins. */
  nextTicks: number | undefined
  /** It has ended there. */
  untilTicks: number | undefined
  init: Buffer | undefined
  awaitsKeyframe: boolean
}

/** Time that was deliberately not encoded. */
interface Hole {
  startTicks: number
  endTicks: number
}

/** A last sample is not drawn out over more than this. */
const longestSampleTicks = 90_000

export class LadderLeg {
  readonly #options: LadderLegOptions
  readonly #states = new Map<string, RungState>()
  #rungs: readonly PlannedVideo[]
  #session: EncoderSession | undefined
  #startedAtMs = 0
  #fedSamples = 0
  #untilTicks: number | undefined
  #lastPictureTicks = 0
  #audioInputEnd = 0
  #isFinishing = false
  #isOver = false
  #holes: Hole[] = []

  constructor(options: LadderLegOptions) {
    this.#options = options
    this.#rungs = options.rungs
    const { fromTicks } = options
    for (const { name } of options.rungs) {
      this.#addState(name, 'video', typeof fromTicks === 'object' ? fromTicks.get(name) : fromTicks)
    }
    if (options.settings.audio) this.#addState(this.#audioName, 'audio', options.audioFromTicks)
  }

  get rungs(): readonly PlannedVideo[] {
    return this.#rungs
  }

  get pid(): number | undefined {
    return this.#session?.pid
  }

  get lagSeconds(): number {
    return this.#session?.lagSeconds ?? 0
  }

  /** When the ffmpeg that runs now was started. */
  get startedAtMs(): number {
    return this.#startedAtMs
  }

  /** To the ffmpeg that runs now. */
  get fedSamples(): number {
    return this.#fedSamples
  }

  /** What another ffmpeg would have to be fed from. */
  get resumePoint(): ResumePoint {
    let videoTicks = Number.POSITIVE_INFINITY
    let audioSeconds = Number.POSITIVE_INFINITY
    for (const { kind, nextTicks = Number.NEGATIVE_INFINITY } of this.#states.values()) {
      if (kind === 'video') videoTicks = Math.min(videoTicks, nextTicks)
      else audioSeconds = nextTicks / encodedSampleRate
    }
    return { videoTicks, audioSeconds }
  }

  /** End of the rung that came farthest. */
  get headTicks(): number {
    const states = [...this.#states.values()].filter((it) => it.kind === 'video')
    return Math.max(...states.map((it) => it.nextTicks ?? Number.NEGATIVE_INFINITY))
  }

  /** Feeds what the history holds; later samples come by `push`. */
  start(): void {
    if (this.#isOver) return
    const { settings } = this.#options
    const samples = this.#samplesToResume()
    const rungs = this.#rungs.filter(({ name }) => this.#isAwaited(name))
    const audio = this.#isAwaited(this.#audioName) ? settings.audio : undefined
    if (rungs.length === 0 && !audio) {
      this.#complete()
      return
    }
    if (!samples) {
      this.kill()
      this.#options.onLost()
      return
    }
    for (const state of this.#states.values()) state.awaitsKeyframe = state.kind === 'video'
    this.#startedAtMs = settings.clock.monotonic()
    const { encodedAudioName, keyframes, framesPerSecond, preset, audioBitsPerSecond } = settings
    const session: EncoderSession = EncoderSession.start({
      plan: {
        video: rungs.length > 0 ? settings.video : undefined,
        audio,
        rungs: rungs.map((it) => ({ ...it, fromTicks: this.#states.get(it.name)?.nextTicks })),
        audioFromTicks: this.#states.get(this.#audioName)?.nextTicks,
        encodedAudioName,
        keyframes,
        framesPerSecond,
        preset,
        audioBitsPerSecond,
      },
      command: settings.command,
      guard: settings.guard,
      clock: settings.clock,
      log: settings.log,
      stallMs: settings.stallMs,
      onInit: (...init) => this.#session === session && this.#onInit(...init),
      onSample: (...made) => this.#session === session && this.#onSample(...made),
      onExit: (exit) => this.#session === session && this.#onExit(exit),
    })
    this.#options.onSession(session)
    this.#session = session
    this.#fedSamples = 0
    for (const kept of samples) {
      if (this.#isBeyond(kept)) break
      this.#feed(kept.kind, kept.sample)
    }
    if (this.#isFinishing) session.finish()
  }

  /** Pictures that the history has lost are left out: a machine that is too slow must not end the stream. */
  #samplesToResume(): KeptSample[] | undefined {
    const { history, settings } = this.#options
    const samples = history.since(this.resumePoint)
    const first = history.samples.find(({ kind, sample }) => kind === 'video' && sample.isKeyframe)
    if (samples || !first || this.#isAwaited(this.#audioName)) return samples
    settings.log.warn('the encoders are too far behind: pictures are left out')
    for (const state of this.#states.values()) {
      if (state.kind === 'video') {
        state.nextTicks = Math.max(state.nextTicks ?? first.ticks, first.ticks)
      }
    }
    return history.since(this.resumePoint)
  }

  push(kind: 'video' | 'audio', sample: MediaSample): void {
    if (!this.#isFinishing && !this.#isOver) this.#feed(kind, sample)
  }

  /** From this picture on another leg goes on; answers where its sound begins. */
  endAt(ticks: number): number | undefined {
    this.#untilTicks = ticks
    for (const state of this.#states.values()) {
      // Whole frames of all that went in: the last one, filled up with silence, is not told.
      if (state.kind === 'audio') state.untilTicks = this.#wholeFramesEnd(state.nextTicks)
      else state.untilTicks = ticks
    }
    const soundEnd = this.#states.get(this.#audioName)?.untilTicks
    this.finish()
    return soundEnd
  }

  finish(): void {
    if (this.#isFinishing) return
    this.#isFinishing = true
    if (this.#isReached()) this.#complete()
    else this.#session?.finish()
  }

  /** Nothing of it is told any more. */
  kill(): void {
    this.#isOver = true
    const session = this.#session
    this.#session = undefined
    session?.kill()
  }

  /** Goes on without its tallest rung. */
  dropTallest(): PlannedVideo | undefined {
    const [tallest, ...others] = this.#rungs
    if (!tallest || others.length === 0 || this.#isOver) return undefined
    this.#rungs = others
    this.#states.delete(tallest.name)
    this.#options.onEvent({ kind: 'dropped', rendition: tallest.name })
    this.renew()
    return tallest
  }

  /** Goes on with another ffmpeg. */
  renew(): void {
    const session = this.#session
    this.#session = undefined
    session?.kill()
    this.start()
  }

  /** Pictures between the two were not fed. */
  addHole(hole: Hole): void {
    this.#holes = [...this.#holes.slice(-3), hole]
  }

  #wholeFramesEnd(nextTicks: number | undefined): number {
    const end = this.#audioInputEnd
    if (nextTicks === undefined) return end
    return (
      nextTicks +
      Math.max(0, Math.floor((end - nextTicks) / encodedFrameSamples)) * encodedFrameSamples
    )
  }

  /** Something of it is still to come. */
  #isAwaited(name: string): boolean {
    const state = this.#states.get(name)
    if (!state || !this.#isFinishing || state.nextTicks === undefined) return state !== undefined
    if (state.untilTicks !== undefined) return state.nextTicks < state.untilTicks
    return state.kind === 'video'
      ? state.nextTicks <= this.#lastPictureTicks
      : state.nextTicks + encodedFrameSamples <= this.#audioInputEnd
  }

  get #audioName(): string {
    return this.#options.settings.encodedAudioName ?? 'audio'
  }

  #addState(name: string, kind: 'video' | 'audio', nextTicks: number | undefined): void {
    const state = { kind, nextTicks, untilTicks: undefined, init: undefined, awaitsKeyframe: false }
    this.#states.set(name, state)
  }

  /** The next leg's: in decoding order all that comes before it is ours. */
  #isBeyond({ kind, sample, ticks }: KeptSample): boolean {
    if (this.#untilTicks === undefined) return false
    return kind === 'video' && sample.isKeyframe && ticks >= this.#untilTicks
  }

  #feed(kind: 'video' | 'audio', sample: MediaSample): void {
    const ticks = sample.dts + sample.cts
    const { audio } = this.#options.settings
    if (kind === 'audio' && audio) {
      const duration = sample.duration || encodedFrameSamples
      this.#audioInputEnd = Math.floor(((ticks + duration) * encodedSampleRate) / audio.timescale)
    } else if (this.#untilTicks === undefined || ticks < this.#untilTicks) {
      this.#lastPictureTicks = Math.max(this.#lastPictureTicks, ticks)
    }
    this.#fedSamples++
    this.#session?.push(kind, sample)
  }

  #onInit(rendition: string, bytes: Buffer, track: InitTrack): void {
    const state = this.#states.get(rendition)
    if (!state || state.init?.equals(bytes)) return
    if (state.init) this.#options.onEvent({ kind: 'init-changed', rendition })
    state.init = bytes
    this.#options.onEvent({ kind: 'init', rendition, bytes, track })
  }

  #onSample(rendition: string, sample: MediaSample): void {
    const state = this.#states.get(rendition)
    if (!state) return
    if (state.awaitsKeyframe && !sample.isKeyframe) {
      this.#retry('broken', `${rendition} does not begin with a keyframe`)
      return
    }
    state.awaitsKeyframe = false
    const { untilTicks } = state
    if (untilTicks !== undefined && sample.dts >= untilTicks) return
    if (state.kind === 'video') sample.duration = this.#durationOf(sample)
    state.nextTicks = sample.dts + sample.duration
    this.#options.onEvent({ kind: 'sample', rendition, sample })
    if (this.#isFinishing && !this.#isOver && this.#isReached()) this.#complete()
  }

  #durationOf({ dts, duration }: MediaSample): number {
    const until = this.#untilTicks
    if (until !== undefined) {
      const left = until - dts
      if (duration > left) return left
      // No picture lies between: the encoder could not know when the next one comes.
      if (dts === this.#lastPictureTicks && left <= longestSampleTicks) return left
    }
    const hole = this.#holes.find((it) => dts < it.startTicks && dts + duration >= it.endTicks)
    return hole ? hole.startTicks - dts : duration
  }

  #isReached(): boolean {
    for (const { nextTicks, untilTicks } of this.#states.values()) {
      if (untilTicks === undefined || nextTicks === undefined || nextTicks < untilTicks)
        return false
    }
    return true
  }

  #onExit(exit: EncoderExit): void {
    if (this.#isOver) return
    if (this.#isFinishing && exit.kind === 'ended') {
      this.#session = undefined
      this.#complete()
    } else if (exit.kind === 'stalled' || exit.kind === 'broken') {
      this.#retry(exit.kind, exit.detail)
    } else {
      // `killed` by the timer: its end took too long.
      this.#retry(exit.kind === 'killed' ? 'stalled' : 'crashed', exit.detail)
    }
  }

  #retry(kind: FailureKind, detail: string): void {
    const session = this.#session
    this.#session = undefined
    session?.kill()
    if (this.#options.onFailure(kind, detail)) this.start()
  }

  #complete(): void {
    this.kill()
    this.#options.onComplete()
  }
}
