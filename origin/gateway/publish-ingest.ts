// The publishes that edges relay to this gateway: the coordinator authorises and places each one, then its
// media goes to the transcoder that holds the lease, and to another one when that is lost.

import { randomBytes } from 'node:crypto'
import type { Socket } from 'node:net'
import type { Clock } from '../../common/clock.ts'
import type { CoordinatorClient } from '../../common/cluster/coordinator-client.ts'
import { bandwidthTestMs } from '../../common/contract/bandwidth-test.ts'
import type { ClusterSnapshot } from '../../common/contract/membership.ts'
import {
  connectionSchema,
  type Holder,
  type PublishGrant,
  type PublishRequest,
} from '../../common/contract/placement.ts'
import type { Progress, ProgressSource } from '../../common/contract/progress.ts'
import { type Refusal, type RefusalCode, refusal } from '../../common/contract/refusal.ts'
import { hostOf } from '../../common/net/addresses.ts'
import { type BandwidthTests, isBandwidthTest } from '../../common/relay/bandwidth-tests.ts'
import type { HopRequest, RelayHost } from '../../common/relay/relay-host.ts'
import {
  againLimits,
  type UpstreamOutcome,
  UpstreamPublisher,
} from '../../common/relay/upstream-publisher.ts'
import type { RoadOutcome } from '../../common/relay/upstream-road.ts'
import type { GatewayConfig } from '../../config/schema.ts'
import { discard } from './discard.ts'
import type { HomeStore } from './home/home-store.ts'
import type { StandIns } from './stand-ins.ts'

export interface RelayedPublisher {
  /** The encoder's address, as the edge told it. */
  clientAddress: string
  pop: string | null
}

/** Whoever passes on to edges how far their publishers' media has got. */
export interface ProgressSink {
  /** Asks at each beat, until disposed of. */
  tell(connection: string, progress: () => Progress | undefined): Disposable
}

export interface GatewayIngestOptions {
  gatewayId: string
  config: Pick<GatewayConfig, 'ingest'>
  relays: RelayHost
  coordinator: Pick<CoordinatorClient, 'publish' | 'beginBandwidthTest'>
  tests: BandwidthTests
  /** Hears of each refusal of a publisher that came straight to us: of the others their edge tells. */
  onRefused?: (keyDigest: string, refused: Refusal) => void
  /** Asked when the coordinator is away. */
  standIns?: Pick<StandIns, 'publish'>
  /** Tells how far media has got at the transcoder with this base URL; without it only a closed connection is a loss. */
  progressOf?: (transcoderUrl: string) => ProgressSource
  progress?: ProgressSink
  /** Where what the transcoder makes is served from. */
  homes?: Pick<HomeStore, 'follow' | 'handOver' | 'neededMs'>
  clock: Clock
}

/** One publisher here, however many transcoders it goes over. */
interface Connection {
  publisher: RelayedPublisher
  id: string
  /** The edge's count of its tries; undefined where the publisher came straight to us. */
  edgeAttempt: number | undefined
  /** How old the media is that the edge begins with. */
  toldAgeMs: number
  grant?: PublishGrant
  /** The holder that failed this publisher. */
  away?: Holder
  /** The oldest that the next transcoder needs. */
  neededMs?: number
  isTold: boolean
}

/** Of a publisher that waits for its first answer: others have room where these have none. */
const mostTranscoders = 3
/** An edge ends a test itself, unless it hangs. */
const relayedTestMs = bandwidthTestMs + 10_000
const longestAgeMs = 60_000
/** Refusals of a transcoder that hold for it alone. */
const elsewhere: ReadonlySet<RefusalCode> = new Set([
  'maintenance',
  'transcoder-failed',
  'no-transcoder',
  'node-full',
])

export class GatewayIngest {
  readonly #options: GatewayIngestOptions
  /** By the id of the connection, those that have been let in. */
  readonly #live = new Map<string, { connection: Connection; move: () => void }>()

  constructor(options: GatewayIngestOptions) {
    this.#options = options
  }

  handle(socket: Socket, publisher: RelayedPublisher): void {
    let connection: Connection | undefined
    this.#options.relays.handle(
      socket,
      { pop: publisher.pop, address: publisher.clientAddress },
      (request) => {
        connection ??= connectionOf(request, publisher)
        return isBandwidthTest(request.intent.query)
          ? this.#test(request, connection, socket)
          : this.#open(request, connection)
      },
      publisher.pop === null ? this.#options.onRefused : undefined,
    )
  }

  /** Publishes anew what is to leave a transcoder that is taken out of service. */
  update({ routes }: Pick<ClusterSnapshot, 'routes'>): void {
    for (const { isMoving, connection: id, epoch } of routes) {
      const live = isMoving && id !== null ? this.#live.get(id) : undefined
      if (live?.connection.grant?.epoch === epoch) live.move()
    }
  }

  /** The key is checked as for any publish; the media ends here. */
  async #test(request: HopRequest, connection: Connection, socket: Socket): Promise<RoadOutcome> {
    const { coordinator, gatewayId, tests } = this.#options
    const { pop, clientAddress } = connection.publisher
    const { keyDigest, annotate } = request
    const result = tests.recall(keyDigest)
    if (result) return { refused: result }
    annotate({ publisher: connection.id })
    const begun = await coordinator.beginBandwidthTest({
      ...{ keyDigest, pop, clientAddress },
      gateway: gatewayId,
      connection: connection.id,
    })
    if ('refused' in begun) return begun
    annotate({ liveId: begun.granted.liveId })
    tests.run(connection.id, socket, request, pop === null ? bandwidthTestMs : relayedTestMs)
    return { started: discard() }
  }

  async #open(request: HopRequest, connection: Connection): Promise<RoadOutcome> {
    const { attempt, annotate } = request
    if (attempt.number === 1) annotate({ publisher: connection.id })
    if (attempt.lost) leave(connection)
    if (attempt.number > 1) return (await this.#ask(request, connection)).outcome
    const { clock, config } = this.#options
    const lateMs = clock.monotonic() + config.ingest.publishTimeoutMs / 2
    const tried = new Set<string>()
    for (;;) {
      const { outcome, isElsewhere } = await this.#ask(request, connection, tried)
      const isEnough = tried.size === mostTranscoders || clock.monotonic() >= lateMs
      if (!isElsewhere || isEnough || request.signal.aborted) return outcome
    }
  }

  /** One placement, and the transcoder that it names, unless that was tried; whether another may take the publish. */
  async #ask(
    request: HopRequest,
    connection: Connection,
    tried = new Set<string>(),
  ): Promise<{ outcome: RoadOutcome; isElsewhere?: boolean }> {
    const { attempt, annotate } = request
    const nonce = randomBytes(12).toString('base64url')
    const placed = await this.#place({
      keyDigest: request.keyDigest,
      connection: connection.id,
      attempt: connection.edgeAttempt ?? attempt.number,
      nonce,
      gateway: this.#options.gatewayId,
      pop: connection.publisher.pop,
      clientAddress: connection.publisher.clientAddress,
      ...(connection.away && { away: connection.away }),
    })
    if ('refused' in placed) return { outcome: placed }
    const { granted } = placed
    connection.grant = granted
    const { liveId, epoch, transcoder, instance } = granted
    const log = annotate({ liveId, epoch })
    if (tried.has(instance)) return { outcome: { refused: refusal('no-transcoder') } }
    tried.add(instance)
    const ageMs = attempt.number === 1 ? connection.toldAgeMs : attempt.ageMs
    await this.#options.homes?.handOver(granted)
    const outcome = await this.#dial(granted, nonce, ageMs, attempt.number > 1)
    if ('started' in outcome) return { outcome: this.#started(outcome, request, connection) }
    const isElsewhere = 'failed' in outcome || elsewhere.has(outcome.refused.code)
    if (isElsewhere) leave(connection)
    if ('refused' in outcome) return { outcome, isElsewhere }
    log.warn({ transcoder: transcoder.id, detail: outcome.failed }, 'transcoder away')
    return { outcome: { refused: refusal('no-transcoder') }, isElsewhere }
  }

  async #place(request: PublishRequest): ReturnType<CoordinatorClient['publish']> {
    const { coordinator, standIns } = this.#options
    const answer = await coordinator.publish(request)
    const isAway = 'refused' in answer && answer.refused.code === 'coordinator-away'
    return (isAway ? await standIns?.publish(request) : undefined) ?? answer
  }

  #started(
    outcome: Extract<UpstreamOutcome, { started: unknown }>,
    request: HopRequest,
    connection: Connection,
  ): RoadOutcome {
    const { progressOf, homes } = this.#options
    const { signal, move } = request
    const { id } = connection
    // It says nothing of the next loss, which may be long from now.
    delete connection.away
    this.#live.set(id, { connection, move })
    // Its edge may have come again by then, with the same connection.
    const forget = () => this.#live.get(id)?.connection === connection && this.#live.delete(id)
    signal.addEventListener('abort', forget, { once: true })
    homes?.follow(connection.grant!)
    this.#tell(request, connection)
    const source = progressOf?.(connection.grant!.transcoder.url)
    if (!source) return outcome
    return {
      ...outcome,
      watch: (listener) =>
        source.watch(connection.id, (told) => {
          // A next transcoder goes on from what the home has heard, which may be less.
          const neededMs = homes?.neededMs(told.liveId, connection.id) ?? told.neededMs
          connection.neededMs = neededMs
          listener({ ...told, neededMs })
        }),
    }
  }

  /**
   * What the edge hears: what came here is taken, so that it looks for another gateway when this one has gone and
   * not when a transcoder has; what a transcoder needs is needed.
   */
  #tell({ held, signal }: HopRequest, connection: Connection): void {
    const { progress } = this.#options
    if (!progress || connection.isTold) return
    connection.isTold = true
    const told = progress.tell(connection.id, () => {
      const media = held()
      const { epoch, liveId } = connection.grant!
      if (!media) return undefined
      const neededMs = connection.neededMs ?? media.oldestMs
      return { epoch, liveId, takenMs: media.newestMs, neededMs }
    })
    signal.addEventListener('abort', () => told[Symbol.dispose](), { once: true })
    if (signal.aborted) told[Symbol.dispose]()
  }

  #dial(
    grant: PublishGrant,
    nonce: string,
    ageMs: number,
    isAgain: boolean,
  ): Promise<UpstreamOutcome> {
    const { clock, config } = this.#options
    const { connectTimeoutMs, publishTimeoutMs } = config.ingest
    // Whoever waits for the answer has as long in all: a second transcoder must come before the end of that.
    const firstLimits = { connectTimeoutMs, publishTimeoutMs: publishTimeoutMs / 2 }
    const url = new URL(grant.transcoder.rtmp)
    const query = new URLSearchParams({ ticket: grant.ticket })
    if (ageMs > 0) query.set('age', String(ageMs))
    return UpstreamPublisher.open(
      {
        host: hostOf(url),
        port: Number(url.port || 1935),
        app: 'live',
        streamName: `${nonce}?${query}`,
      },
      {
        clock,
        ...(isAgain ? againLimits : firstLimits),
      },
    )
  }
}

/** The next placement is to name another holder than this one. */
function leave(connection: Connection): void {
  if (!connection.grant) return
  const { epoch, instance } = connection.grant
  connection.away = { epoch, instance }
}

/** An edge names the connection that it owns; of one that comes straight to us we are the owner. */
function connectionOf({ intent, startedAgo }: HopRequest, publisher: RelayedPublisher): Connection {
  const own: Connection = {
    publisher,
    id: randomBytes(12).toString('base64url'),
    edgeAttempt: undefined,
    toldAgeMs: 0,
    isTold: false,
  }
  const query = new URLSearchParams(intent.query)
  const id = connectionSchema.safeParse(query.get('connection'))
  if (publisher.pop === null || !id.success) return own
  const toldAgeMs = Math.min(wholeNumber(query.get('age')) ?? 0, longestAgeMs)
  startedAgo(toldAgeMs)
  const edgeAttempt = Math.max(1, wholeNumber(query.get('attempt')) ?? 1)
  return { ...own, id: id.data, edgeAttempt, toldAgeMs }
}

function wholeNumber(text: string | null): number | undefined {
  return text !== null && /^\d{1,9}$/.test(text) ? Number(text) : undefined
}
