// One Prometheus registry per process; every name gets the prefix `nearcast_` here and nowhere else.
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from '@prometheus-io/client'

export interface MetricSpec<Label extends string> {
  /** Without the prefix; counters end in `_total`, units are base units (seconds, bytes). */
  name: string
  help: string
  labels?: readonly Label[]
}

type Labels = Record<string, string | number>

export interface FoldedValue {
  labels: Labels
  value: number
}

export interface FoldedHistogram {
  /** Observations up to each bound, each with those before it. */
  upTo: readonly number[]
  sum: number
  count: number
}

/** Between two looks at the event loop's delay, which tells it with its own length. The usual 10 ms wake an idle node. */
const delayPrecisionMs = 50
const utilizationEveryMs = 1_000

export class Metrics {
  readonly registry = new Registry()

  constructor(role: string, node: string, version: string) {
    collectDefaultMetrics({
      register: this.registry,
      eventLoopMonitoringPrecision: delayPrecisionMs,
      eventLoopUtilizationTimeout: utilizationEveryMs,
    })
    this.gauge({
      name: 'build_info',
      help: 'Version of this node; always 1.',
      labels: ['version', 'role', 'node'] as const,
    }).set({ version, role, node }, 1)
  }

  counter<Label extends string = never>(spec: MetricSpec<Label>): Counter<Label> {
    return new Counter({ ...this.#base(spec) })
  }

  /** `collect` runs on each scrape, for values that are cheaper to read than to keep. */
  gauge<Label extends string = never>(
    spec: MetricSpec<Label>,
    collect?: (gauge: Gauge<Label>) => void,
  ): Gauge<Label> {
    return new Gauge({
      ...this.#base(spec),
      ...(collect && {
        collect(this: Gauge<Label>) {
          collect(this)
        },
      }),
    })
  }

  histogram<Label extends string = never>(
    spec: MetricSpec<Label> & { buckets: number[] },
  ): Histogram<Label> {
    return new Histogram({ ...this.#base(spec), buckets: spec.buckets })
  }

  /** For numbers that are kept elsewhere; `read` runs on each scrape. */
  foldedCounter(spec: MetricSpec<never>, read: () => FoldedValue[]): void {
    this.#fold(spec, 'counter', () => read())
  }

  /** For a histogram that is kept elsewhere; `read` runs on each scrape. */
  foldedHistogram(
    spec: MetricSpec<never> & { bounds: readonly number[] },
    read: () => { labels: Labels; row: FoldedHistogram }[],
  ): void {
    const name = `nearcast_${spec.name}`
    this.#fold(spec, 'histogram', () =>
      read().flatMap(({ labels, row: { upTo, sum, count } }) => [
        ...spec.bounds.map((le, bound) => ({
          metricName: `${name}_bucket`,
          labels: { le, ...labels },
          value: upTo[bound]!,
        })),
        { metricName: `${name}_bucket`, labels: { le: '+Inf', ...labels }, value: count },
        { metricName: `${name}_sum`, labels, value: sum },
        { metricName: `${name}_count`, labels, value: count },
      ]),
    )
  }

  /** The registry asks a metric for its values and nothing else. */
  #fold({ name, help }: MetricSpec<never>, type: string, values: () => FoldedValue[]): void {
    const full = `nearcast_${name}`
    const get = async () => ({ name: full, help, type, values: values(), aggregator: 'sum' })
    this.registry.registerMetric({ name: full, help, type, get } as never)
  }

  #base<Label extends string>(spec: MetricSpec<Label>) {
    return {
      name: `nearcast_${spec.name}`,
      help: spec.help,
      labelNames: [...(spec.labels ?? [])] as Label[],
      registers: [this.registry],
    }
  }
}
