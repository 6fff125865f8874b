// Who lets publishes in while the coordinator is away: one transcoder for each live id, the same for every gateway that
// has the same snapshot. It is the one that the live id's route names, else the first of the ring. Nobody else is asked,
// also when that one does not answer: two that both begin would be two writers.
import type { Clock } from '../../common/clock.ts'
import type { ClusterSnapshot, NodeInfo } from '../../common/contract/membership.ts'
import {
  type Holder,
  type PublishGrant,
  type PublishRequest,
  publishGrantSchema,
  publishRefusalSchema,
} from '../../common/contract/placement.ts'
import type { Refusal } from '../../common/contract/refusal.ts'
import { type StandInRequest, standInPath } from '../../common/contract/stand-in.ts'
import { messageOf } from '../../common/errors.ts'
import { HttpClient } from '../../common/http-client.ts'
import type { Logger } from '../../common/log.ts'
import { Ring } from '../../common/ring.ts'
import type { KnownKeys } from './known-keys.ts'

export interface StandInsOptions {
  keys: Pick<KnownKeys, 'find' | 'hasLiveId'>
  snapshot: () => ClusterSnapshot
  /** Whom this gateway has followed last. */
  holderOf: (liveId: string) => Holder | undefined
  /** A node token for transcoders. */
  authorize: () => Promise<string>
  clock: Clock
  log: Logger
}

const connectTimeoutMs = 500
/** A publisher waits. */
const answerMs = 1_500

export class StandIns implements AsyncDisposable {
  readonly #options: StandInsOptions
  readonly #http = new HttpClient({ connectTimeoutMs })
  #ring: { of: ClusterSnapshot; ring: Ring } | undefined

  constructor(options: StandInsOptions) {
    this.#options = options
  }

  /** Base URL of the transcoder where a live id without a route is live, if it is: that of a channel we know. */
  playbackUrl(liveId: string): string | undefined {
    return this.#options.keys.hasLiveId(liveId) ? this.#nodeFor(liveId)?.urls.http : undefined
  }

  /** Undefined where the key is not known, or nobody answered. */
  async publish({
    away: _away,
    ...request
  }: PublishRequest): Promise<{ granted: PublishGrant } | { refused: Refusal } | undefined> {
    const { keys, snapshot, holderOf, log } = this.#options
    const key = keys.find(request.keyDigest)
    const url = key && this.#nodeFor(key.liveId)?.urls.http
    if (!key || url === undefined) return undefined
    const { liveId, record } = key
    const route = snapshot().routes.find((it) => it.liveId === liveId)
    const { epoch, instance } = newest([key, route, holderOf(liveId)])
    try {
      return await this.#ask(url, {
        ...request,
        liveId,
        record,
        epoch,
        ...(instance && { instance }),
      })
    } catch (err) {
      log.warn({ liveId, url, error: messageOf(err) }, 'no stand-in for the coordinator')
      return undefined
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#http[Symbol.asyncDispose]()
  }

  async #ask(
    url: string,
    asked: StandInRequest,
  ): Promise<{ granted: PublishGrant } | { refused: Refusal }> {
    const { authorize, clock } = this.#options
    const late = new AbortController()
    const timer = clock.setTimeout(() => late.abort(new Error('no answer in time')), answerMs)
    try {
      const { statusCode, body } = await this.#http.request(url + standInPath, {
        method: 'POST',
        headers: {
          authorization: `Bearer ${await authorize()}`,
          'content-type': 'application/json',
        },
        body: JSON.stringify(asked),
        signal: late.signal,
      })
      const answer: unknown = JSON.parse(await body.text())
      if (statusCode === 200) return { granted: publishGrantSchema.parse(answer) }
      return { refused: publishRefusalSchema.parse(answer) }
    } finally {
      timer.cancel()
    }
  }

  #nodeFor(liveId: string): NodeInfo | undefined {
    const snapshot = this.#options.snapshot()
    const route = snapshot.routes.find((it) => it.liveId === liveId)
    const id = route?.transcoder.id ?? this.#ringOf(snapshot).place(liveId)
    return snapshot.nodes.find((it) => it.id === id && it.role === 'transcoder')
  }

  #ringOf(snapshot: ClusterSnapshot): Ring {
    if (this.#ring?.of !== snapshot) {
      const seats = snapshot.nodes.filter(({ role, draining, urls }) => {
        return role === 'transcoder' && !draining && urls.rtmp && urls.http
      })
      this.#ring = { of: snapshot, ring: new Ring(seats) }
    }
    return this.#ring.ring
  }
}

type Known = Pick<Holder, 'epoch'> & Partial<Holder>

/** The later ones know better who has the same epoch. */
function newest(known: readonly (Known | undefined)[]): Known {
  return known.reduce<Known>((best, it) => (it && it.epoch >= best.epoch ? it : best), { epoch: 0 })
}
