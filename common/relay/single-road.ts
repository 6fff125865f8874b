// A way up over one next hop: when that takes no more the publisher waits, and when it goes the publisher goes.
import type { MediaMessage } from '../../media/rtmp/message.ts'
import { type Refusal, refusal } from '../contract/refusal.ts'
import type { Logger } from '../log.ts'
import type { Road } from './road.ts'
import { refusalOf, type UpstreamOutcome, type UpstreamPublisher } from './upstream-publisher.ts'

export interface SingleRoadOptions {
  /** Asks for the next hop. Must not reject. */
  open(): Promise<UpstreamOutcome>
  log: Logger
  onDrain(): void
  onRefused(refused: Refusal): void
}

export class SingleRoad implements Road {
  readonly #options: SingleRoadOptions
  #upstream: UpstreamPublisher | undefined
  #isOver = false

  constructor(options: SingleRoadOptions) {
    this.#options = options
  }

  async open(): Promise<Refusal | undefined> {
    const { log, onDrain, onRefused } = this.#options
    const outcome = await this.#options.open()
    if (this.#isOver) {
      if ('started' in outcome) outcome.started.unpublish()
      return undefined
    }
    if ('refused' in outcome) return outcome.refused
    if ('failed' in outcome) {
      log.warn({ detail: outcome.failed }, 'no next hop for this publisher')
      return refusal('no-gateway')
    }
    const upstream = outcome.started
    this.#upstream = upstream
    upstream.onDrain = onDrain
    upstream.onStatus = (status) => {
      if (status.level === 'error') onRefused(refusalOf(status))
    }
    void upstream.closed.then((reason) => {
      if (this.#isOver) return
      log.warn({ reason }, 'the next hop closed the publish')
      onRefused(refusal('path-lost'))
    })
    return undefined
  }

  push(message: MediaMessage): boolean {
    return this.#upstream?.send(message) ?? true
  }

  /** Without a memory there is no other way. */
  move(): void {}

  async finish(): Promise<void> {
    this.#isOver = true
    this.#upstream?.unpublish()
  }

  destroy(): void {
    this.#isOver = true
    this.#upstream?.destroy()
  }
}
