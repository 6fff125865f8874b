// Tells the coordinator which publishers were refused here: gathered for a second, counted by key and reason.
import { BoundedTable } from '../bounded-table.ts'
import type { Clock, Timer } from '../clock.ts'
import type { Refusal, RefusalCode } from '../contract/refusal.ts'
import {
  maxRefusalMessage,
  maxRefusalsPerReport,
  type RefusalReport,
} from '../contract/refusal-report.ts'

export interface RefusalReporterOptions {
  clock: Clock
  /** False: it was not heard, and is told again. Must not reject. */
  report(report: RefusalReport): Promise<boolean>
}

type Entry = Omit<RefusalReport['refusals'][number], 'ageMs'> & { at: number }

const gatherMs = 1_000
const retryMs = 5_000
/** They are about no channel, or are no refusals in the eyes of its owner. */
const untold: ReadonlySet<RefusalCode> = new Set([
  'key-unknown',
  'key-missing',
  'bandwidth-test-over',
])

export class RefusalReporter implements Disposable {
  readonly #options: RefusalReporterOptions
  #entries = new BoundedTable<Entry>(maxRefusalsPerReport)
  #timer: Timer | undefined
  #isOver = false

  constructor(options: RefusalReporterOptions) {
    this.#options = options
  }

  /** `keyDigest` is empty for a publisher that went before it named a key. */
  note(keyDigest: string, { code, message }: Refusal): void {
    if (keyDigest === '' || untold.has(code)) return
    const at = this.#options.clock.monotonic()
    this.#add({ keyDigest, code, message: message.slice(0, maxRefusalMessage), count: 1, at })
    this.#reportIn(gatherMs)
  }

  /** What has not been told by now is not told any more. */
  [Symbol.dispose](): void {
    this.#isOver = true
    this.#timer?.cancel()
  }

  /** The later sentence stays, whichever comes first. */
  #add(entry: Entry): void {
    const name = `${entry.keyDigest} ${entry.code}`
    const known = this.#entries.get(name)
    if (!known) this.#entries.set(name, entry)
    else {
      const later = known.at > entry.at ? known : entry
      this.#entries.set(name, { ...later, count: known.count + entry.count })
    }
  }

  #reportIn(ms: number): void {
    if (this.#isOver) return
    this.#timer ??= this.#options.clock.setTimeout(() => void this.#report(), ms)
  }

  async #report(): Promise<void> {
    const { clock, report } = this.#options
    const told = [...this.#entries.values()]
    this.#entries = new BoundedTable(maxRefusalsPerReport)
    const now = clock.monotonic()
    const refusals = told.map(({ at, ...entry }) => ({ ...entry, ageMs: Math.round(now - at) }))
    const isHeard = await report({ refusals })
    this.#timer = undefined
    if (!isHeard) for (const entry of told) this.#add(entry)
    if (this.#entries.size > 0) this.#reportIn(isHeard ? gatherMs : retryMs)
  }
}
