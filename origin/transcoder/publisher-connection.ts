// One connection of a publisher, by whatever pipes it comes: what comes again by a later one is left out, so the
// reader behind them sees one stream of messages.

import type { MediaMessage } from '../../media/rtmp/message.ts'
import { ArrivalTimes } from './arrival-times.ts'
import { type DatedStep, FirstRun } from './first-run.ts'
import type { InputLimits } from './input-check.ts'
import { InputMeter } from './input-check.ts'
import { InputReader, type InputStep } from './input-reader.ts'
import type { ReceivedStream } from './rtmp-receiver.ts'
import { SourceMarks } from './source-marks.ts'
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
  readonly marks = new SourceMarks()
  readonly #taken = new TakenMarks()
  readonly #reader: InputReader
  readonly #first = new FirstRun()
  #originSeconds = 0
  #pipe: Pipe | undefined
  #arrivals: ArrivalTimes

  constructor(name: string, pipe: Pipe, limits: InputLimits, nowMs: number) {
    this.name = name
    this.meter = new InputMeter(limits)
    this.#reader = new InputReader(limits, trackParsers, nowMs)
    this.#pipe = pipe
    this.#arrivals = new ArrivalTimes(pipe.stream.firstReachedMs, nowMs)
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
    this.#arrivals = new ArrivalTimes(pipe.stream.firstReachedMs, nowMs)
    this.#taken.resume()
  }

  lose(): void {
    this.#pipe = undefined
  }

  push(message: MediaMessage, nowMs: number): DatedStep[] {
    const { isFrame, messages } = this.#taken.push(message)
    const arrivedMs = isFrame ? this.#arrivals.of(message.timestampMs, nowMs) : nowMs
    return messages.flatMap((it) =>
      this.#date(this.#reader.push(it, nowMs, arrivedMs), nowMs, arrivedMs),
    )
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
    { sinceLastMs, ageMs }: DatedStep & { kind: 'run' },
    nowSeconds: number,
    earliestSeconds: number,
  ): void {
    const byOurs = nowSeconds - ageMs / 1000
    const byTheirs = this.#originSeconds + (sinceLastMs ?? Number.NaN) / 1000
    const late = byOurs - byTheirs
    const goesOn = late >= -mostEarlySeconds && late <= mostLateSeconds
    this.#originSeconds = Math.max(goesOn ? byTheirs : byOurs, earliestSeconds)
  }

  /** How far its media has got; undefined before the first. */
  progress(openSeconds: number): { takenMs: number; neededMs: number } | undefined {
    const { newestMs, firstMs } = this.#taken
    if (newestMs === undefined || firstMs === undefined) return undefined
    return { takenMs: newestMs, neededMs: this.marks.at(openSeconds) ?? firstMs }
  }

  #date(steps: readonly InputStep[], nowMs: number, arrivedMs: number): DatedStep[] {
    return steps.flatMap((step) => this.#first.push(step, nowMs, arrivedMs))
  }
}
