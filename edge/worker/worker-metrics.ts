// What workers have counted, also those that are no more: a counter that fell because a thread died would look as if
// the edge had been started anew.
import { type MetricsJson, sumMetrics } from '../../common/metrics.ts'

export class WorkerMetrics {
  /** Of each worker, as it last told. */
  readonly #last = new Map<number, MetricsJson>()
  #past: readonly MetricsJson[] = []

  /** As soon as a worker tells it: whoever dies while others are still asked has told it. */
  note(index: number, page: MetricsJson): void {
    this.#last.set(index, page)
  }

  /** The pages to be merged; of a worker that did not answer what it counted up to its last answer. */
  async all(answered: ReadonlySet<number>): Promise<MetricsJson[]> {
    await this.#fold()
    const pages = Array.from(this.#last, ([index, page]) =>
      answered.has(index) ? page : countersOf(page),
    )
    return [...pages, ...this.#past]
  }

  /** What it counted since its last answer is lost. */
  retire(index: number): void {
    const counted = countersOf(this.#last.get(index))
    this.#last.delete(index)
    if (counted.length > 0) this.#past = [...this.#past, counted]
  }

  /** Makes one page of what is past, unless another call, which several scrapes make at once, has done so. */
  async #fold(): Promise<void> {
    const past = this.#past
    if (past.length < 2) return
    const sum = await sumMetrics(past)
    if (past.every((page) => this.#past.includes(page))) {
      this.#past = [sum, ...this.#past.filter((page) => !past.includes(page))]
    }
  }
}

/** Without what is so only at the moment. */
function countersOf(page: MetricsJson = []): MetricsJson {
  return page.filter(({ type }) => type === 'counter' || type === 'histogram')
}
