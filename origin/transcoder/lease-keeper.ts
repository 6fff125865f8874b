// Keeps the lease of one stream: renews it on a beat, stops the stream when it is lost, keeps it on an error.
import type { Clock, Timer } from '../../common/clock.ts'
import type { LeaseAnswer, LeaseRelease, LeaseRenewal } from '../../common/contract/placement.ts'
import type { Logger } from '../../common/log.ts'

/** The only thing a stream asks of the coordinator. */
export interface LeaseClient {
  renewLease(
    liveId: string,
    renewal: LeaseRenewal,
  ): Promise<LeaseAnswer | { outcome: 'error'; error: string }>
  releaseLease(liveId: string, release: LeaseRelease): Promise<unknown>
}

export interface LeaseKeeperOptions {
  liveId: string
  client: LeaseClient
  clock: Clock
  log: Logger
  /** Read at each renewal. */
  renewal: () => LeaseRenewal
  onLost: (epoch: number) => void
  /** The operator asked for the end of the broadcast. */
  onStop: () => void
}

const renewEveryMs = 2_000

export class LeaseKeeper {
  readonly #options: LeaseKeeperOptions
  #timer: Timer | undefined
  #isRenewing = false
  #isStopped = false
  #isFailing = false

  constructor(options: LeaseKeeperOptions) {
    this.#options = options
  }

  start(): void {
    this.#timer = this.#options.clock.setInterval(() => void this.renew(), renewEveryMs)
  }

  /** Renews out of turn, when something changed that others wait for. */
  async renew(): Promise<void> {
    if (this.#isRenewing || this.#isStopped) return
    this.#isRenewing = true
    const { client, liveId, log, renewal } = this.#options
    const sent = renewal()
    const answer = await client.renewLease(liveId, sent)
    this.#isRenewing = false
    if (this.#isStopped) return
    if (answer.outcome === 'error') {
      if (!this.#isFailing) log.warn({ liveId, error: answer.error }, 'lease not renewed')
      this.#isFailing = true
      return
    }
    this.#isFailing = false
    // An answer to an epoch that has been replaced since says nothing about the new one.
    if (answer.outcome === 'lost' && renewal().epoch === sent.epoch) {
      this.stop()
      this.#options.onLost(answer.epoch)
    } else if (answer.outcome === 'held' && answer.stop) {
      this.stop()
      this.#options.onStop()
    }
  }

  stop(): void {
    this.#isStopped = true
    this.#timer?.cancel()
  }
}
