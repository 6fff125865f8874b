// Lets publishes in while the coordinator is away: `POST /internal/v1/publishes`, by gateways that know the key and
// could not ask. Every gateway asks the same transcoder for a live id, so that one process decides.
//
// - Where the broadcast runs or is held here, the publisher joins it: same lease, same epoch.
// - Otherwise a broadcast begins one epoch above all that the gateway and this process know of. That epoch is a claim:
//   the coordinator that is back takes it over, or answers `lost` (architecture: compare-and-set on epoch and instance).
// - The newest connection wins, by the rules that the coordinator goes by.
import { randomUUID } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { makeBroadcastTag } from '../../common/broadcast-tag.ts'
import type { Clock } from '../../common/clock.ts'
import type { ClusterAuth } from '../../common/cluster/cluster-auth.ts'
import type {
  Adoption,
  LeaseRenewal,
  PublishGrant,
  Replaced,
} from '../../common/contract/placement.ts'
import { isRetryable, type Refusal, refusal } from '../../common/contract/refusal.ts'
import { type StandInRequest, standInRequestSchema } from '../../common/contract/stand-in.ts'
import type { Logger } from '../../common/log.ts'
import { type ConnectionStanding, claimOf, maxReplaced, replacedBy } from '../../common/takeover.ts'
import { readJsonBody } from './json-body.ts'

/** A broadcast that runs or is held here. */
export interface StandingBroadcast {
  epoch: number
  facts: { broadcastId: string; broadcastTag: string; startedAtMs: number; isRecorded: boolean }
  state: 'live' | 'held'
  /** The connection that was let in last. */
  connection: string | null
  /** Those that were let in under this epoch before it, oldest first. */
  before: readonly string[]
  takes: number
}

export interface StandInOptions {
  nodeId: string
  instance: string
  urls: () => { rtmp: string; url: string }
  auth: Pick<ClusterAuth, 'signTicket' | 'verifyNodeToken'>
  standing: (liveId: string) => StandingBroadcast | undefined
  /** The last that anybody was let in under here; 0 for none. */
  lastEpochOf: (liveId: string) => number
  isDraining: () => boolean
  clock: Clock
  log: Logger
}

/** A publisher that was told to come; it replaces nobody before it has. */
interface Grant {
  adoption: Adoption
  isTakeover: boolean
  isLetIn: boolean
  /** The coordinator has judged it. */
  isHeard: boolean
  /** Monotonic. */
  grantedMs: number
}

interface Stand {
  broadcast: StandingBroadcast
  standing: Omit<ConnectionStanding, 'waiting'>
  /** Oldest first: who may still come, and who came without the coordinator's having heard of it. */
  grants: Grant[]
  isOver: boolean
  /** Monotonic; of the newest grant. */
  grantedMs: number
}

/** Which renewal. */
type LeasedBy = Pick<LeaseRenewal, 'epoch' | 'nonce'>

/** A ticket is good for half of that: a grant that was not used by then never will be. */
const openMs = 60_000
const notGranted = { isOver: false, grantedMs: 0 }
const maxStands = 10_000
/** As many as the coordinator places on a lease. */
const maxGrants = 16
const maxBytes = 64 * 1024

export class StandIn {
  readonly #options: StandInOptions
  /** By live id, the one let in last at the end. */
  readonly #stands = new Map<string, Stand>()

  constructor(options: StandInOptions) {
    this.#options = options
  }

  /** Answers a request to its path. */
  async serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const token = /^Bearer (.+)$/.exec(request.headers.authorization ?? '')?.[1]
    const node = token === undefined ? undefined : await this.#options.auth.verifyNodeToken(token)
    const isGateway = node?.role === 'gateway'
    const asked = isGateway
      ? await readJsonBody(request, standInRequestSchema, maxBytes)
      : undefined
    if (!asked || asked.gateway !== node?.nodeId) {
      response.writeHead(isGateway ? 400 : 403, { connection: 'close' }).end()
      return
    }
    const answer = await this.grant(asked)
    const status = 'granted' in answer ? 200 : isRetryable(answer.refused.code) ? 503 : 403
    response.writeHead(status, { 'content-type': 'application/json' })
    response.end(JSON.stringify('granted' in answer ? answer.granted : answer.refused))
  }

  async grant(request: StandInRequest): Promise<{ granted: PublishGrant } | { refused: Refusal }> {
    const { nodeId, instance, urls, auth, isDraining, clock, log } = this.#options
    const { liveId, epoch: _epoch, instance: _instance, record: _record, ...asked } = request
    const stand = this.#standOf(request)
    // It begins nothing new, and keeps what nobody else can take.
    const isHere = this.#options.standing(liveId)?.epoch === stand.broadcast.epoch
    if (isDraining() && !isHere) return { refused: refusal('maintenance') }
    const waiting = stand.grants.filter((it) => !it.isLetIn).map(({ adoption }) => adoption)
    const claim = claimOf({ ...stand.standing, waiting }, request, clock.now())
    if ('refused' in claim) return claim
    const { connection, nonce } = request
    const { epoch, takes, facts } = stand.broadcast
    const { broadcastId, broadcastTag, startedAtMs, isRecorded } = facts
    const broadcast = { broadcastId, broadcastTag, broadcastStartedAt: startedAtMs }
    stand.grantedMs = clock.monotonic()
    const grant: Grant = {
      adoption: { ...asked, ...broadcast, replaced: [] },
      ...{ isTakeover: claim.isTakeover, isLetIn: false, isHeard: false },
      grantedMs: stand.grantedMs,
    }
    stand.grants = [...stand.grants, grant].slice(-maxGrants)
    this.#keep(liveId, stand)
    const who = { publisher: connection, gateway: request.gateway }
    log.warn({ liveId, epoch, ...who }, 'publish let in without the coordinator')
    const ticket = await auth.signTicket({
      ...{ liveId, ...broadcast, epoch, nonce, connection },
      ...{ transcoder: nodeId, instance, record: isRecorded, takes },
    })
    const transcoder = { id: nodeId, ...urls() }
    return { granted: { liveId, broadcastId, epoch, instance, transcoder, ticket } }
  }

  /**
   * What is to be told with a renewal of that epoch and publisher: never of one who has not come, but for the renewal
   * that asks whether to let it in.
   */
  adoptionOf(liveId: string, { epoch, nonce }: LeasedBy): Adoption | undefined {
    const stand = this.#standing(liveId, epoch)
    const grant =
      nonce === null
        ? stand?.grants.findLast((it) => isLastOf(this.#options.standing(liveId), it))
        : stand?.grants.find(({ adoption }) => adoption.nonce === nonce)
    if (!stand || !grant || grant.isHeard) return undefined
    if (grant.isLetIn) return grant.adoption
    return { ...grant.adoption, replaced: this.#replacedBy(liveId, stand, grant) }
  }

  /** That publisher has come, and was not refused. */
  letIn(liveId: string, { epoch, nonce }: LeasedBy): void {
    const stand = this.#standing(liveId, epoch)
    const grant = stand?.grants.find(({ adoption }) => adoption.nonce === nonce)
    if (!stand || !grant || grant.isLetIn) return
    grant.isLetIn = true
    const replaced = this.#replacedBy(liveId, stand, grant)
    grant.adoption = { ...grant.adoption, replaced }
    const { connection, attempt } = grant.adoption
    stand.standing = { ...stand.standing, connection, attempt, replaced }
    const at = stand.grants.indexOf(grant)
    stand.grants = stand.grants.filter(({ adoption, isLetIn }, i) => {
      if (isLetIn) return true
      if (adoption.connection === connection) return i > at
      return replaced.every((it) => it.connection !== adoption.connection)
    })
    this.#forgetHeard(stand, grant)
  }

  /** The broadcast has ended here: whoever comes next begins another one. */
  over(liveId: string, epoch: number): void {
    const stand = this.#stands.get(liveId)
    if (stand?.broadcast.epoch === epoch) stand.isOver = true
  }

  /** The coordinator has judged it. */
  told(liveId: string, { nonce }: Adoption): void {
    const stand = this.#stands.get(liveId)
    const grant = stand?.grants.find(({ adoption }) => adoption.nonce === nonce)
    if (!stand || !grant) return
    grant.isHeard = true
    this.#forgetHeard(stand, grant)
  }

  #standing(liveId: string, epoch: number): Stand | undefined {
    const stand = this.#stands.get(liveId)
    return stand?.broadcast.epoch === epoch ? stand : undefined
  }

  /** Also those whom the coordinator has placed, and who came after it was granted. */
  #replacedBy(liveId: string, { broadcast, standing }: Stand, grant: Grant): Replaced[] {
    const { adoption, isTakeover } = grant
    const { connection } = adoption
    const nowMs = this.#options.clock.now()
    const replaced = replacedBy(standing, { connection, isTakeover }, nowMs)
    const known = new Set([connection, ...replaced.map((it) => it.connection)])
    const running = this.#options.standing(liveId)
    if (running?.epoch !== broadcast.epoch) return [...replaced]
    const since = [...running.before, running.connection].flatMap((it) => {
      if (it === null || known.has(it)) return []
      const isThere = it === running.connection && running.state === 'live'
      return [{ connection: it, takenAtMs: isThere ? nowMs : null }]
    })
    return [...replaced, ...since].slice(-maxReplaced)
  }

  /** With who has come last the coordinator has heard of all who came before. */
  #forgetHeard(stand: Stand, last: Grant): void {
    if (!last.isLetIn || !last.isHeard) return
    const at = stand.grants.indexOf(last)
    stand.grants = stand.grants.filter(({ isLetIn }, i) => !isLetIn || i > at)
  }

  #standOf({ liveId, epoch, instance, record }: StandInRequest): Stand {
    const before = this.#stands.get(liveId)
    const running = this.#options.standing(liveId)
    if (running && this.#isNewest(running.epoch, { epoch, instance })) {
      const { state, connection, facts } = running
      const isSame = before?.broadcast.facts.broadcastId === facts.broadcastId
      const grants = isSame ? before.grants.filter((it) => it.isLetIn || this.#isYoung(it)) : []
      // Once the coordinator has heard of all, it is the one who knows who has the channel.
      const isUnheard = grants.some((it) => isLastOf(running, it))
      const replaced = running.before.map((it) => ({ connection: it, takenAtMs: null }))
      const fresh = { connection, attempt: null, replaced }
      const known = isSame && isUnheard ? before.standing : fresh
      return { broadcast: running, standing: { ...known, state }, grants, ...notGranted }
    }
    if (before && before.broadcast.epoch > epoch && this.#isOpen(before)) return before
    const own = [running?.epoch ?? 0, before?.broadcast.epoch ?? 0]
    const highest = Math.max(epoch, ...own, this.#options.lastEpochOf(liveId))
    return {
      broadcast: this.#begin(highest + 1, record),
      standing: { connection: null, attempt: null, state: 'starting', replaced: [] },
      ...{ grants: [], ...notGranted },
    }
  }

  #isNewest(own: number, { epoch, instance }: Pick<StandInRequest, 'epoch' | 'instance'>): boolean {
    const isOurs = instance === undefined || instance === this.#options.instance
    return own > epoch || (own === epoch && isOurs)
  }

  #isOpen(stand: Stand): boolean {
    return !stand.isOver && this.#isYoung(stand)
  }

  #isYoung({ grantedMs }: { grantedMs: number }): boolean {
    return this.#options.clock.monotonic() - grantedMs < openMs
  }

  #begin(epoch: number, isRecorded: boolean): StandingBroadcast {
    return {
      epoch,
      facts: {
        broadcastId: randomUUID(),
        broadcastTag: makeBroadcastTag(),
        startedAtMs: this.#options.clock.now(),
        isRecorded,
      },
      state: 'live',
      connection: null,
      before: [],
      takes: 0,
    }
  }

  #keep(liveId: string, stand: Stand): void {
    this.#stands.delete(liveId)
    this.#stands.set(liveId, stand)
    if (this.#stands.size > maxStands) this.#stands.delete(this.#stands.keys().next().value!)
  }
}

/** False also where somebody came after it by the coordinator. */
function isLastOf(running: StandingBroadcast | undefined, { adoption, isLetIn }: Grant): boolean {
  return isLetIn && adoption.connection === running?.connection
}
