// Finds out when the media of a new connection was made. Much of it may come at once, as everything that an encoder
// had sent while its connection was being made: were the first sample taken for one of now, the whole broadcast would
// be dated that much into the future, and DASH players, who go by the clock, would be so much later than they could be.
//
// So the first run of a connection is held back for a moment. The sample that was the least time on its way, by its
// timestamp, counts as one of now. Of a replay it is known when its samples arrived: nothing is held back.
import type { InputSample, InputStep } from './input-reader.ts'

/** A step of the input, and how old the first sample of a run is. */
export type DatedStep =
  | Exclude<InputStep, { kind: 'run' }>
  | (Extract<InputStep, { kind: 'run' }> & { ageMs: number })

/** What was under way arrives within this time. */
export const holdBackMs = 300
/** More than this is no backlog, but a file that is sent as fast as it goes. */
const longestBacklogMs = 5_000
const maxHeldBytes = 16 * 1024 * 1024

export class FirstRun {
  #run: Extract<InputStep, { kind: 'run' }> | undefined
  #startedMs = 0
  #firstTimestampMs: number | undefined
  /** When the first sample would have come with the one that was the least time on its way. */
  #firstMs = 0
  #samples: InputSample[] = []
  #heldBytes = 0

  /** `arrivedMs` is earlier than now in a replay of what a relay has kept. */
  push(step: InputStep, nowMs: number, arrivedMs = nowMs): DatedStep[] {
    if (step.kind === 'sample' && this.#run) {
      this.#measure(step.sample.timestampMs, arrivedMs)
      this.#samples.push(step.sample)
      this.#heldBytes += step.sample.payload.length
      return this.#heldBytes > maxHeldBytes ? this.flush(nowMs) : this.tick(nowMs)
    }
    if (step.kind === 'run' && step.reason === 'first') {
      this.#run = step
      this.#startedMs = arrivedMs
      this.#firstMs = arrivedMs
      return []
    }
    const ageMs = nowMs - arrivedMs
    const dated: DatedStep = step.kind === 'run' ? { ...step, ageMs } : step
    return [...this.flush(nowMs), dated]
  }

  /** Call it a few times per second. */
  tick(nowMs: number): DatedStep[] {
    return nowMs - this.#startedMs >= holdBackMs ? this.flush(nowMs) : []
  }

  /** What is held back; call it when nothing more comes. */
  flush(nowMs: number): DatedStep[] {
    const run = this.#run
    if (!run) return []
    this.#run = undefined
    const backlogMs = Math.min(this.#startedMs - this.#firstMs, longestBacklogMs)
    const ageMs = nowMs - this.#startedMs + backlogMs
    const samples = this.#samples.map((sample): DatedStep => ({ kind: 'sample', sample }))
    this.#samples = []
    return [{ ...run, ageMs }, ...samples]
  }

  #measure(timestampMs: number, nowMs: number): void {
    this.#firstTimestampMs ??= timestampMs
    this.#firstMs = Math.min(this.#firstMs, nowMs - (timestampMs - this.#firstTimestampMs))
  }
}
