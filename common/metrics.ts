// One Prometheus registry per process; every name gets the prefix `nearcast_` here and nowhere else.
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from '@prometheus-io/client'

export interface MetricSpec<Label extends string> {
  /** Without the prefix; counters end in `_total`, units are base units (seconds, bytes). */
  name: string
  help: string
  labels?: readonly Label[]
  /** What the values of several threads come to; default their sum. */
  overThreads?: 'sum' | 'max' | 'min'
}

export type MetricsJson = Awaited<ReturnType<Registry['getMetricsAsJSON']>>

/** One page of what several threads have counted. */
export function mergeMetrics(ofThreads: readonly MetricsJson[]): Promise<string> {
  return Registry.aggregate([...ofThreads]).metrics()
}

/** Of values that add up. */
export async function sumMetrics(ofThreads: readonly MetricsJson[]): Promise<MetricsJson> {
  return await Registry.aggregate([...ofThreads]).getMetricsAsJSON()
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

/** Of Node's own metrics, those that each thread has for itself. */
const ofThread = /^nodejs_(eventloop|gc|heap|external)_/
/** Their sum would say nothing; the thread that is worst off does. */
const worstOfThreads = /^nodejs_eventloop_(?!.*histogram)/

export class Metrics {
  readonly registry = new Registry()

  constructor(role: string, node: string, version: string, isWorker = false) {
    collectDefaultMetrics({
      register: this.registry,
      eventLoopMonitoringPrecision: delayPrecisionMs,
      eventLoopUtilizationTimeout: utilizationEveryMs,
    })
    for (const { name } of this.registry.getMetricsAsArray()) {
      if (isWorker && !ofThread.test(name)) this.registry.removeSingleMetric(name)
    }
    if (isWorker) return
    this.gauge({
      name: 'build_info',
      help: 'Version of this node; always 1.',
      labels: ['version', 'role', 'node'] as const,
    }).set({ version, role, node }, 1)
  }

  /** All values as plain data, for `mergeMetrics`. */
  async toJson(): Promise<MetricsJson> {
    const all = await this.registry.getMetricsAsJSON()
    return all.map((metric) =>
      worstOfThreads.test(metric.name) ? { ...metric, aggregator: 'max' } : metric,
    )
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
      ...(spec.overThreads && { aggregator: spec.overThreads }),
    }
  }
}
