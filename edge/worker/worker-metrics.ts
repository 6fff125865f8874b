// What workers have counted, also those that are no more: a counter that fell because a thread died would look as if
// the edge had been started anew.
import { type MetricsJson, sumMetrics } from '../../common/metrics.ts'

export class WorkerMetrics {
  /** Of each worker, as it last told. */
  readonly #last = new Map<number, MetricsJson>()
  #past: MetricsJson[] = []

  /** The pages to be merged; of a worker that did not answer what it counted up to its last answer. */
  async all(
    answers: readonly (readonly [index: number, page: MetricsJson | undefined])[],
  ): Promise<MetricsJson[]> {
    const pages = answers.map(([index, page]) => {
      if (page) this.#last.set(index, page)
      return page ?? countersOf(this.#last.get(index))
    })
    const past = this.#past
    if (past.length > 1) {
      const sum = await sumMetrics(past)
      this.#past = [sum, ...this.#past.filter((page) => !past.includes(page))]
    }
    return [...pages, ...this.#past]
  }

  /** What it counted since its last answer is lost. */
  retire(index: number): void {
    const counted = countersOf(this.#last.get(index))
    this.#last.delete(index)
    if (counted.length > 0) this.#past.push(counted)
  }
}

/** Without what is so only at the moment. */
function countersOf(page: MetricsJson = []): MetricsJson {
  return page.filter(({ type }) => type === 'counter' || type === 'histogram')
}
