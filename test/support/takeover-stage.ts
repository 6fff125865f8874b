// A cluster with a publisher whose every frame is known, watched at the POP that is farthest from it: where faults
// are struck and their traces judged.
import { readFileSync } from 'node:fs'
import { Cluster, type ClusterOptions, type NodeFacts } from './cluster.ts'
import { NumberedPublisher } from './numbered-publisher.ts'
import { SequenceAudit } from './sequence-audit.ts'
import { until } from './until.ts'

export interface StageOptions extends ClusterOptions {
  size?: string
  /** As OBS does; the publisher stays away when absent. */
  reconnectAfterMs?: number
  /** What has to be there before anybody publishes; let go of with the stage. */
  prepare?(cluster: Cluster): Promise<AsyncDisposable>
}

export interface StreamFacts {
  broadcastId: string
  epoch: number
  gateway: { id: string }
  transcoder: { id: string }
}

export class TakeoverStage implements AsyncDisposable {
  readonly cluster: Cluster
  readonly publisher: NumberedPublisher
  readonly prepared: AsyncDisposable | undefined
  audit: SequenceAudit

  private constructor(
    cluster: Cluster,
    prepared: AsyncDisposable | undefined,
    publisher: NumberedPublisher,
    audit: SequenceAudit,
  ) {
    this.cluster = cluster
    this.prepared = prepared
    this.publisher = publisher
    this.audit = audit
  }

  /** Resolves when the stream is listed at the last POP. The publisher is at the first, and then at others but the last. */
  static async start({
    size,
    reconnectAfterMs,
    prepare,
    ...options
  }: StageOptions): Promise<TakeoverStage> {
    await using stack = new AsyncDisposableStack()
    const cluster = stack.use(await Cluster.start(options))
    const prepared = await prepare?.(cluster)
    if (prepared) stack.use(prepared)
    const { edges, channels, caFile } = cluster.facts
    const publisher = stack.use(
      await NumberedPublisher.start({
        servers: edges.slice(0, Math.max(1, edges.length - 1)).map(({ rtmps }) => rtmps),
        streamKey: channels[0]!.streamKey,
        ca: readFileSync(caFile),
        ...(size !== undefined && { size }),
        ...(reconnectAfterMs !== undefined && { reconnectAfterMs }),
      }),
    )
    const audit = stack.use(await TakeoverStage.#watch(cluster))
    stack.move()
    return new TakeoverStage(cluster, prepared, publisher, audit)
  }

  /** A new audit, for the next fault, of what the one before has not seen, which must have been stopped. */
  async watchAnew(): Promise<void> {
    this.audit = await TakeoverStage.#watch(this.cluster, this.audit.lastNumber)
  }

  static #watch({ facts }: Cluster, after = -1): Promise<SequenceAudit> {
    const media = `${facts.edges.at(-1)!.https}/live/${facts.channels[0]!.liveId}`
    return SequenceAudit.start({ media, ca: readFileSync(facts.caFile), after })
  }

  stream(): Promise<StreamFacts> {
    const { liveId } = this.cluster.facts.channels[0]!
    return this.cluster.api<StreamFacts>('GET', `/api/v1/streams/${liveId}`)
  }

  /** The node that holds the stream now. */
  async holder(role: 'transcoders' | 'gateways'): Promise<NodeFacts> {
    const stream = await this.stream()
    const { id } = role === 'transcoders' ? stream.transcoder : stream.gateway
    return this.cluster.facts[role].find((node) => node.id === id)!
  }

  /** So many more segments in every playlist. */
  async segments(count: number, limitMs?: number): Promise<void> {
    const { lastNumber } = this.audit
    await until(
      `${count} more segments`,
      () => this.audit.lastNumber >= lastNumber + count,
      limitMs,
    )
  }

  /** When a segment with media of that time or later was listed; rejects after the limit. */
  mediaSince(sinceMs: number, limitMs: number, sent = this.publisher.sent): Promise<number> {
    return until(
      'media from after the fault',
      () => this.audit.segmentWithMediaSince(sinceMs, sent),
      limitMs,
    )
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.audit[Symbol.asyncDispose]()
    await this.publisher[Symbol.asyncDispose]()
    await this.prepared?.[Symbol.asyncDispose]()
    await this.cluster[Symbol.asyncDispose]()
  }
}
