// One connection of a publisher, by whatever pipes it comes: what comes again by a later one is left out, so the
// reader behind them sees one stream of messages.

import {
  neededSeconds,
  type PackagingPoint,
  type ResumePoint,
} from '../../common/contract/resume-point.ts'
import { ArrivalTimes } from '../../common/relay/arrival-times.ts'
import type { MediaMessage } from '../../media/rtmp/message.ts'
import { type DatedStep, FirstRun } from './first-run.ts'
import { type InputLimits, InputMeter, type InputTracks } from './input-check.ts'
import { InputReader, type InputStep } from './input-reader.ts'
import { ResumeGate } from './resume-gate.ts'
import type { ReceivedStream } from './rtmp-receiver.ts'
import { isEnough, type Needed, SourceMarks } from './source-marks.ts'
import { StreamDoctor } from './stream-doctor.ts'
import { TakenMarks } from './taken-marks.ts'
import { trackParsers } from './track-parsers.ts'

/** One way from the publisher to here. */
export interface Pipe {
  nonce: string
  stream: ReceivedStream
}

/** A run whose first sample lies farther from now, by the publisher's clock, is on another one. */
const mostEarlySeconds = 1
const mostLateSeconds = 10

export class PublisherConnection {
  /** As the publisher's relay has named it. */
  readonly name: string
  /** Of the newest run. */
  meter: InputMeter
  readonly doctor = new StreamDoctor()
  readonly marks = new SourceMarks()
  readonly #taken = new TakenMarks()
  readonly #reader: InputReader
  readonly #first = new FirstRun()
  /** Of the newest run. */
  #tracks: InputTracks | undefined
  #originSeconds = 0
  #pipe: Pipe | undefined
  readonly #arrivals = new ArrivalTimes()
  /** Where another transcoder has left its run. */
  readonly #left: ResumePoint | undefined
  #gate: ResumeGate | undefined

  constructor(
    name: string,
    pipe: Pipe,
    limits: InputLimits,
    nowMs: number,
    left: ResumePoint | undefined,
  ) {
    this.#left = left
    if (left) this.#gate = new ResumeGate(left.input, nowMs)
    this.name = name
    this.meter = new InputMeter(limits)
    this.#reader = new InputReader(limits, trackParsers, nowMs)
    this.#pipe = pipe
    this.#arrivals.startedAt(pipe.stream.firstReachedMs ?? nowMs, nowMs)
  }

  /** Undefined while a node on the way is lost. */
  get pipe(): Pipe | undefined {
    return this.#pipe
  }

  /** Where the first sample of the newest run lies on the timeline. */
  get originSeconds(): number {
    return this.#originSeconds
  }

  /** False where the input has ended a run and none has begun. */
  get isRunning(): boolean {
    return this.#reader.isRunning
  }

  /** The publisher comes by another way. */
  resume(pipe: Pipe, nowMs: number): void {
    this.#pipe?.stream.drop()
    this.#pipe = pipe
    this.#arrivals.startedAt(pipe.stream.firstReachedMs ?? nowMs, nowMs)
    this.#taken.resume()
  }

  lose(): void {
    this.#pipe = undefined
  }

  push(message: MediaMessage, nowMs: number): DatedStep[] {
    const { isFrame, messages } = this.#taken.push(message)
    const arrivedMs = isFrame ? this.#arrivals.of(message.timestampMs, nowMs) : nowMs
    return messages.flatMap((it) => this.#date(this.#read(it, nowMs, arrivedMs), nowMs, arrivedMs))
  }

  #read(message: MediaMessage, nowMs: number, arrivedMs: number): InputStep[] {
    const read = (it: MediaMessage) => this.#reader.push(it, nowMs, arrivedMs)
    if (!this.#gate || message.kind === 'data') return read(message)
    const answer = this.#gate.push(message, nowMs)
    if (answer.kind === 'waits') return []
    this.#gate = undefined
    const steps = answer.headers.flatMap(read)
    const { input } = this.#left!
    // Two receivers may have seen 2^32 pass, or not.
    const laterMs = message.timestampMs - input.entry.timestampMs
    const entered = answer.kind === 'entered' && this.#reader.resume(input, laterMs, nowMs)
    const behind = answer.kind === 'entered' ? answer.behind : []
    return [...steps, ...(entered ? [entered] : []), ...[message, ...behind].flatMap(read)]
  }

  /** For the deadlines; call it a few times per second. */
  tick(nowMs: number): DatedStep[] {
    const steps = this.#date(this.#reader.tick(nowMs), nowMs, nowMs)
    return [...steps, ...this.#first.tick(nowMs)]
  }

  /** What is held back, when nothing more comes by this pipe. */
  flush(nowMs: number): DatedStep[] {
    return this.#first.flush(nowMs)
  }

  /** By the publisher's clock as long as it goes on: what follows at once must not be a hole for having come late. */
  placeRun(
    { reason, tracks, sinceLastMs, ageMs }: DatedStep & { kind: 'run' },
    nowSeconds: number,
    earliestSeconds: number,
  ): void {
    this.#tracks = tracks
    if (reason === 'resumed') {
      this.#originSeconds = this.#left!.clock.originSeconds
      return
    }
    const byOurs = nowSeconds - ageMs / 1000
    const byTheirs = this.#originSeconds + (sinceLastMs ?? Number.NaN) / 1000
    const late = byOurs - byTheirs
    const goesOn = late >= -mostEarlySeconds && late <= mostLateSeconds
    this.#originSeconds = Math.max(goesOn ? byTheirs : byOurs, earliestSeconds)
  }

  /** How far its media has got; undefined before the first. */
  progress(packaging: PackagingPoint): { takenMs: number; neededMs: number } | undefined {
    const { newestMs, firstMs } = this.#taken
    if (newestMs === undefined || firstMs === undefined) return undefined
    const mark = this.marks.at(neededOf(packaging) ?? { seconds: packaging.endSeconds })
    return { takenMs: newestMs, neededMs: mark?.entry.timestampMs ?? firstMs }
  }

  /** Undefined where more is open than one take whose renditions have all begun, or is needed from before the run. */
  resumePoint(packaging: PackagingPoint): ResumePoint | undefined {
    const [take, ...others] = packaging.openTakes ?? []
    if (!take?.timeline || take.isClosing || others.length > 0) return undefined
    const tracks = Object.values(take.tracks)
    if (!tracks.every((it) => it.isOver || (it.rendition && it.state))) return undefined
    const needed = neededOf(packaging)
    const mark = needed && this.marks.at(needed)
    if (!mark || !this.#tracks || !isEnough(mark, needed)) return undefined
    if (mark.clock.originSeconds !== this.#originSeconds) return undefined
    const { video, audio } = this.#tracks
    return {
      connection: this.name,
      packaging,
      clock: mark.clock,
      input: {
        ...(video && { video: video.config.toString('base64') }),
        ...(audio && { audio: audio.config.toString('base64') }),
        entry: mark.entry,
      },
    }
  }

  #date(steps: readonly InputStep[], nowMs: number, arrivedMs: number): DatedStep[] {
    return steps.flatMap((step) => this.#first.push(step, nowMs, arrivedMs))
  }
}

/** Undefined where nothing is. */
function neededOf(packaging: PackagingPoint): Needed | undefined {
  const seconds = neededSeconds(packaging)
  return seconds === undefined
    ? undefined
    : { seconds, soundSeconds: neededSeconds(packaging, 'audio') }
}
