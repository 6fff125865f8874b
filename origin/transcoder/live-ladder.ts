// Keeps the encoded renditions of a run of media going, over crashes, pressure and changes of the set.
//
//   samples ─► history ─► leg (its ffmpeg) ─► leg (its ffmpeg) ─► ...
//
// Rules:
// - A leg is one set of rungs from one picture to another; at most the newest is fed. Events of a leg are held until
//   the one before it has told everything, so that the owner sees each rendition in order.
// - A failed ffmpeg is replaced at once, without loss. Three failures in a minute: the media is to blame, and the
//   owner is told.
// - Pressure: more than a second behind for two seconds, and the tallest rung is given up; calm for long enough, and
//   the owner is told that it could come back. The last rung is never given up: it leaves out whole GOPs instead.
import type { Timer } from '../../common/clock.ts'
import { LogBudget } from '../../common/log-budget.ts'
import type { InitTrack } from '../../media/mp4/init-section.ts'
import type { MediaSample } from '../../media/mp4/track.ts'
import { gridToleranceTicks } from './encoder-args.ts'
import type { EncoderSession } from './encoder-session.ts'
import type { PlannedVideo } from './ladder.ts'
import {
  type EncoderSettings,
  type FailureKind,
  type LadderEvent,
  LadderLeg,
} from './ladder-leg.ts'
import { type HistoryLimits, type ResumePoint, SampleHistory } from './sample-history.ts'

export interface LiveLadderOptions extends EncoderSettings {
  /** Those to encode. */
  planned: readonly PlannedVideo[]
  /**
   * The first picture is the first that is not before this; undefined: the first that comes. By rendition name where
   * another transcoder has made what is before: each goes on exactly there, sound too, in its own ticks, and what is
   * pushed begins with the source's last keyframe before.
   */
  fromTicks?: number | ReadonlyMap<string, number> | undefined
  historyLimits?: HistoryLimits | undefined
  /** An ffmpeg that has been fed so many samples is replaced, without loss. */
  renewAfterSamples?: number | undefined
  onInit: (rendition: string, bytes: Buffer, track: InitTrack) => void
  onSample: (rendition: string, sample: MediaSample) => void
  /** Given up under pressure: nothing more of it comes. */
  onDropped: (rendition: string) => void
  /** It could come back: answered by `switchAt` at a cut, if at all. Said again after as much calm. */
  onWanted: (rendition: string) => void
  /** An ffmpeg was replaced. */
  onRestart?: ((reason: FailureKind | 'pressure') => void) | undefined
  /** Too many failures; all has been killed. */
  onFailed: (kind: FailureKind, detail: string) => void
  /** Another ffmpeg made another init section: what comes next of it needs a new take. */
  onInitChanged?: ((rendition: string) => void) | undefined
}

interface Switch {
  /** The first picture that is not before this; at the source's keyframes only, unless keyframes are our own. */
  ticks: number
  planned: readonly PlannedVideo[]
  /** Another transcoder has made what is before. */
  resumed?: ReadonlyMap<string, number>
}

interface HeldLeg {
  leg: LadderLeg
  held: LadderEvent[]
  isComplete: boolean
}

const ticksPerSecond = 90_000
/** ffmpeg remembers some 160 bytes of each sample that it reads: a third of a gigabyte, after 18 hours at 30 per second. */
const usualRenewAfterSamples = 2_000_000
const historyBytes = 64 * 1024 * 1024
/** A stall is seen after its time; what is resumed from may be a GOP before it. */
const longestGopSeconds = 10
/** With keyframes far apart, what is needed no more would else be held for a GOP longer, up to the limits. */
const forgetEachSamples = 30

const failureWindowMs = 60_000
const mostFailures = 3

const watchMs = 250
const behindSeconds = 1
const behindMs = 2_000
/** A new ffmpeg catches up first. */
const graceMs = 5_000
const calmSeconds = 0.3
const firstCalmMs = 60_000
const longestCalmMs = 16 * 60_000
/** The last rung leaves out pictures from here, and goes on from there. */
const overloadSeconds = 10
const recoveredSeconds = 2

export class LiveLadder {
  readonly #options: LiveLadderOptions
  readonly #history: SampleHistory
  readonly #timer: Timer
  readonly #budget: LogBudget
  readonly #done = Promise.withResolvers<void>()
  readonly #running = new Set<EncoderSession>()
  #legs: HeldLeg[] = []
  #switch: Switch | undefined
  #dropped: PlannedVideo[] = []
  #failures: number[] = []
  #isFinishing = false
  #isOver = false
  #behindSinceMs: number | undefined
  #calmSinceMs: number | undefined
  #drops = 0
  /** First picture of the GOPs that are being left out. */
  #holeStart: number | undefined
  #skippedGops = 0
  #sinceForgotten = 0

  constructor(options: LiveLadderOptions) {
    this.#options = options
    this.#history = new SampleHistory(
      options.historyLimits ?? {
        bytes: historyBytes,
        seconds: options.stallMs / 1_000 + longestGopSeconds,
      },
    )
    this.#budget = new LogBudget({ clock: options.clock, log: options.log, lines: 2 })
    this.#switch = firstSwitch(options)
    this.#timer = options.clock.setInterval(() => this.#watch(), watchMs)
  }

  /** Of the ffmpeg that is fed. */
  get pid(): number | undefined {
    return this.#newest?.leg.pid
  }

  get lagSeconds(): number {
    return this.#newest?.leg.lagSeconds ?? 0
  }

  /** GOPs that were left out because even the last rung could not keep up. */
  get skippedGops(): number {
    return this.#skippedGops
  }

  /** What is being made now, from the tallest down. */
  get rungs(): readonly PlannedVideo[] {
    return this.#newest?.leg.rungs ?? []
  }

  /** Resolves when everything is told and no ffmpeg is left; never rejects. */
  get done(): Promise<void> {
    return this.#done.promise
  }

  /** Every sample, in decoding order; pictures begin with a keyframe. */
  push(kind: 'video' | 'audio', sample: MediaSample): void {
    if (this.#isFinishing || this.#isOver) return
    if (kind === 'video' && this.#isSkipped(sample)) return
    const rate = kind === 'video' ? ticksPerSecond : this.#options.audio?.timescale
    if (rate === undefined) return
    if (!this.#history.push(kind, sample, rate) && this.#budget.take()) {
      this.#options.log.warn('the encoders are too far behind: what they could resume from is lost')
    }
    // A leg that begins now is fed from the history, which has the sample already.
    if (!this.#trySwitch()) this.#newest?.leg.push(kind, sample)
    if (kind === 'video' ? sample.isKeyframe : !this.#options.video) {
      this.#forget()
      this.#renewOld()
    } else if (++this.#sinceForgotten >= forgetEachSamples) this.#forget()
  }

  /** From that picture on another set of rungs; with the source's keyframes, from the first that is not before. */
  switchAt(ticks: number, planned: readonly PlannedVideo[]): void {
    if (this.#isFinishing || this.#isOver) return
    this.#switch = { ticks, planned: tallestFirst(planned) }
    this.#trySwitch()
  }

  /** The run is over: what is inside comes out; of pictures, what is shown before `untilTicks`. */
  finish(untilTicks?: number): void {
    if (this.#isFinishing || this.#isOver) return
    this.#isFinishing = true
    if (untilTicks === undefined) this.#newest?.leg.finish()
    else this.#newest?.leg.endAt(untilTicks)
    this.#settle()
  }

  kill(): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#timer.cancel()
    for (const { leg } of this.#legs) leg.kill()
    this.#legs = []
    this.#checkDone()
  }

  get #newest(): HeldLeg | undefined {
    return this.#legs.at(-1)
  }

  #trySwitch(): boolean {
    if (!this.#switch) return false
    const from = this.#boundary(this.#switch)
    if (from === undefined) return false
    const { planned, resumed } = this.#switch
    this.#switch = undefined
    this.#dropped = this.#dropped.filter((it) => !planned.some(({ name }) => name === it.name))
    this.#behindSinceMs = undefined
    this.#calmSinceMs = undefined
    const { encodedAudioName = 'audio' } = this.#options
    const audioFromTicks = resumed ? resumed.get(encodedAudioName) : this.#newest?.leg.endAt(from)
    const fromTicks = planned.length > 0 ? (resumed ?? from) : undefined
    this.#begin(planned, fromTicks, audioFromTicks)
    return true
  }

  /** The picture at which a leg begins, once it is certain. */
  #boundary({ ticks, planned, resumed }: Switch): number | undefined {
    const { samples, leastCts } = this.#history
    const { keyframes, video } = this.#options
    if (resumed) {
      const hasPicture = samples.some((it) => it.kind === 'video' && it.sample.isKeyframe)
      return hasPicture || planned.length === 0 ? ticks : undefined
    }
    if (!video || (planned.length === 0 && this.rungs.length === 0)) {
      const now = (samples.at(-1)?.seconds ?? Number.NaN) * ticksPerSecond
      return now >= ticks ? Math.round(now) : undefined
    }
    // What has been told already is not made again.
    const earliest = Math.max(ticks, this.#newest?.leg.headTicks ?? ticks)
    if (keyframes.kind === 'source') {
      return samples.find(
        (it) => it.kind === 'video' && it.sample.isKeyframe && it.ticks >= earliest,
      )?.ticks
    }
    let first = Number.POSITIVE_INFINITY
    let lastDts = Number.NEGATIVE_INFINITY
    const least = Math.max(ticks - gridToleranceTicks, this.#newest?.leg.headTicks ?? -Infinity)
    for (const { kind, sample, ticks: shownAt } of samples) {
      if (kind !== 'video') continue
      lastDts = sample.dts
      if (shownAt >= least) first = Math.min(first, shownAt)
    }
    // Reordered pictures that are shown before it may still come.
    return lastDts + leastCts >= first ? first : undefined
  }

  #begin(
    planned: readonly PlannedVideo[],
    fromTicks: number | ReadonlyMap<string, number> | undefined,
    audioFromTicks: number | undefined,
  ): void {
    const held: LadderEvent[] = []
    const leg: LadderLeg = new LadderLeg({
      settings: this.#options,
      rungs: planned,
      fromTicks,
      audioFromTicks,
      history: this.#history,
      onEvent: (event) => {
        if (this.#legs[0] === entry) this.#tell(event)
        else held.push(event)
      },
      onSession: (session) => this.#onSession(session),
      onFailure: (kind, detail) => this.#onFailure(kind, detail),
      onLost: () => this.#fail('broken', 'too far behind its input to resume'),
      onComplete: () => {
        entry.isComplete = true
        this.#settle()
      },
    })
    const entry: HeldLeg = { leg, held, isComplete: false }
    this.#legs.push(entry)
    leg.start()
  }

  /** Lets the next leg speak when the first has told everything. */
  #settle(): void {
    if (this.#isOver) return
    while (this.#legs[0]?.isComplete) {
      this.#legs.shift()
      const next = this.#legs[0]
      while (next && next.held.length > 0) this.#tell(next.held.shift()!)
    }
    if (this.#isFinishing && this.#legs.length === 0) this.kill()
  }

  #tell(event: LadderEvent): void {
    if (this.#isOver) return
    const options = this.#options
    if (event.kind === 'sample') options.onSample(event.rendition, event.sample)
    else if (event.kind === 'init') options.onInit(event.rendition, event.bytes, event.track)
    else if (event.kind === 'dropped') options.onDropped(event.rendition)
    else options.onInitChanged?.(event.rendition)
  }

  #onFailure(kind: FailureKind, detail: string): boolean {
    if (this.#isOver) return false
    const { clock, log } = this.#options
    const now = clock.monotonic()
    this.#failures = [...this.#failures.filter((at) => now - at < failureWindowMs), now]
    log.warn({ kind, detail, failures: this.#failures.length }, 'an encoder failed')
    if (this.#failures.length < mostFailures) {
      this.#options.onRestart?.(kind)
      return true
    }
    this.#fail(kind, detail)
    return false
  }

  #fail(kind: FailureKind, detail: string): void {
    if (this.#isOver) return
    this.kill()
    this.#options.onFailed(kind, detail)
  }

  #onSession(session: EncoderSession): void {
    this.#running.add(session)
    void session.exited.then(() => {
      this.#running.delete(session)
      this.#checkDone()
    })
  }

  #checkDone(): void {
    if (this.#isOver && this.#running.size === 0) this.#done.resolve()
  }

  #forget(): void {
    this.#sinceForgotten = 0
    const point: ResumePoint = {
      videoTicks: this.#switch?.ticks ?? Number.POSITIVE_INFINITY,
      audioSeconds: Number.POSITIVE_INFINITY,
    }
    for (const { leg } of this.#legs) {
      const { videoTicks, audioSeconds } = leg.resumePoint
      point.videoTicks = Math.min(point.videoTicks, videoTicks)
      point.audioSeconds = Math.min(point.audioSeconds, audioSeconds)
    }
    this.#history.forgetBefore(point)
  }

  #renewOld(): void {
    const leg = this.#newest?.leg
    const { renewAfterSamples = usualRenewAfterSamples, log } = this.#options
    if (!leg || leg.fedSamples <= renewAfterSamples || leg.lagSeconds > calmSeconds) return
    log.info({ fedSamples: leg.fedSamples }, 'an old encoder is replaced')
    leg.renew()
  }

  /** Once only one rung is left, and even that is too slow. */
  #isSkipped(sample: MediaSample): boolean {
    const leg = this.#newest?.leg
    if (!leg || !sample.isKeyframe) return this.#holeStart !== undefined
    const ticks = sample.dts + sample.cts
    const isOverloaded = leg.rungs.length === 1 && leg.lagSeconds > overloadSeconds
    if (this.#holeStart === undefined) {
      if (!isOverloaded) return false
      this.#holeStart = ticks
    } else if (leg.lagSeconds < recoveredSeconds) {
      leg.addHole({ startTicks: this.#holeStart, endTicks: ticks })
      this.#holeStart = undefined
      return false
    }
    this.#forget()
    this.#skippedGops++
    if (this.#budget.take()) {
      this.#options.log.warn(
        { skippedGops: this.#skippedGops },
        'the last rung cannot keep up: GOPs are left out',
      )
    }
    return true
  }

  /** Doubles with each rung that was given up. */
  get #neededCalmMs(): number {
    return Math.min(longestCalmMs, firstCalmMs * 2 ** Math.max(0, this.#drops - 1))
  }

  #watch(): void {
    const leg = this.#newest?.leg
    if (!leg || this.#isFinishing) return
    const now = this.#options.clock.monotonic()
    const lag = leg.lagSeconds
    const isBehind = lag > behindSeconds && now - leg.startedAtMs >= graceMs
    this.#behindSinceMs = isBehind ? (this.#behindSinceMs ?? now) : undefined
    this.#calmSinceMs = lag < calmSeconds ? (this.#calmSinceMs ?? now) : undefined
    if (this.#behindSinceMs !== undefined && now - this.#behindSinceMs >= behindMs) {
      this.#behindSinceMs = undefined
      const dropped = leg.dropTallest()
      if (!dropped) return
      this.#options.log.warn({ rendition: dropped.name, lag }, 'a rung is given up under pressure')
      this.#dropped.push(dropped)
      this.#options.onRestart?.('pressure')
      this.#drops++
    } else if (this.#calmSinceMs !== undefined && now - this.#calmSinceMs >= this.#neededCalmMs) {
      const wanted = this.#dropped.at(-1)
      this.#calmSinceMs = now
      if (wanted) this.#options.onWanted(wanted.name)
    }
  }
}

function firstSwitch({ planned, fromTicks = Number.NEGATIVE_INFINITY }: LiveLadderOptions): Switch {
  const rungs = tallestFirst(planned)
  if (typeof fromTicks === 'number') return { ticks: fromTicks, planned: rungs }
  const ticks = rungs.map(({ name }) => fromTicks.get(name) ?? Number.NEGATIVE_INFINITY)
  return { ticks: Math.min(...ticks), planned: rungs, resumed: fromTicks }
}

function tallestFirst(planned: readonly PlannedVideo[]): PlannedVideo[] {
  return [...planned].sort((a, b) => b.height - a.height)
}
