// What both relays, edge and gateway, count about publishers.
import type { Refusal } from '../contract/refusal.ts'
import type { Metrics } from '../metrics.ts'

export class IngestMetrics {
  readonly #connections
  readonly #publishing
  readonly #rejected
  readonly #openSeconds

  /** `bytes`: of all publishers so far, those that are live among them. */
  constructor(metrics: Metrics, bytes: () => number) {
    this.#connections = metrics.counter({
      name: 'ingest_connections_total',
      help: 'Publisher connections by what became of them.',
      labels: ['result'] as const,
    })
    this.#publishing = metrics.gauge({
      name: 'ingest_connections',
      help: 'Publishers that are live now.',
    })
    metrics.foldedCounter(
      { name: 'ingest_bytes_total', help: 'Bytes received from publishers.' },
      () => [{ labels: {}, value: bytes() }],
    )
    this.#rejected = metrics.counter({
      name: 'ingest_rejected_total',
      help: 'Publishers refused, by reason and by gate.',
      labels: ['reason', 'stage'] as const,
    })
    this.#openSeconds = metrics.histogram({
      name: 'ingest_handshake_seconds',
      help: 'From the accepted connection to the start of the publish.',
      buckets: [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
    })
  }

  live(openMs: number): void {
    this.#publishing.inc()
    this.#openSeconds.observe(openMs / 1000)
  }

  refused(refused: Refusal, stage: 'before-start' | 'after-start'): void {
    this.#rejected.inc({ reason: refused.code, stage })
  }

  ended(wasLive: boolean): void {
    if (wasLive) this.#publishing.dec()
    this.#connections.inc({ result: wasLive ? 'published' : 'not-published' })
  }
}
