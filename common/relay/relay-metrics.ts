// What a relay counts about its way up: next hops lost, media held and lost, replays.
import type { Metrics } from '../metrics.ts'

export type LossReason = 'closed' | 'silent' | 'refused'

export class RelayMetrics {
  readonly #moves
  readonly #lostMessages
  readonly #catchUpSeconds
  readonly #catchingUp

  /** `memoryBytes` is asked on each scrape. */
  constructor(metrics: Metrics, memoryBytes: () => number) {
    this.#moves = metrics.counter({
      name: 'relay_moves_total',
      help: 'Next hops that a live publisher lost, by how.',
      labels: ['why'] as const,
    })
    metrics.gauge(
      { name: 'relay_memory_bytes', help: 'Media of all publishers that is held for a replay.' },
      (gauge) => gauge.set(memoryBytes()),
    )
    this.#lostMessages = metrics.counter({
      name: 'relay_lost_messages_total',
      help: 'Audio and video messages that no next hop can have any more.',
    })
    this.#catchUpSeconds = metrics.histogram({
      name: 'relay_catchup_seconds',
      help: 'From the loss of a next hop until another one had all media.',
      buckets: [0.1, 0.25, 0.5, 1, 2, 4, 6, 10, 20, 60],
    })
    this.#catchingUp = metrics.gauge({
      name: 'relay_catching_up',
      help: 'Publishers that have lost their next hop and are not live at another one yet.',
    })
  }

  /** `wanted`: nothing was lost, a node is taken out of service. */
  moved(why: LossReason | 'wanted'): void {
    this.#moves.inc({ why })
  }

  lost(messages: number): void {
    this.#lostMessages.inc(messages)
  }

  /** A publisher is without a live next hop; the answer ends that. */
  away(): { over(caughtUpMs: number | undefined): void } {
    this.#catchingUp.inc()
    return {
      over: (caughtUpMs) => {
        this.#catchingUp.dec()
        if (caughtUpMs !== undefined) this.#catchUpSeconds.observe(caughtUpMs / 1000)
      },
    }
  }
}
