// What the coordinator hears of this node's leases, kept until it has heard: with renewals what was let in without it;
// in their order the ends of broadcasts, each after its last renewal.
//
// A broadcast that began without it comes after the ends before that, which the coordinator would take for superseded.
// A lease that it knows of is renewed at once: an end under a lower epoch says nothing any more.
//
// An end that was not heard counts all the same: the lease is over, and no ticket opens it again. Otherwise takes that
// the coordinator never heard of would be made a second time.
import type { Clock, Timer } from '../../common/clock.ts'
import type { CoordinatorClient, LeaseOutcome } from '../../common/cluster/coordinator-client.ts'
import type { LeaseRelease, LeaseRenewal } from '../../common/contract/placement.ts'
import type { LeaseClient } from './lease-keeper.ts'
import type { StandIn } from './stand-in.ts'

export interface LeaseReportsOptions {
  client: Pick<CoordinatorClient, 'renewLease' | 'releaseLease'>
  standIn: Pick<StandIn, 'adoptionOf' | 'letIn' | 'told' | 'over'>
  clock: Clock
}

/** An end, and the last renewal before it, where the coordinator has not heard that either: it tells of takes. */
interface UnheardEnd {
  renewal: LeaseRenewal | undefined
  release: LeaseRelease
  /** How often the coordinator has failed at it. */
  failures: number
}

type LeaseError = Extract<LeaseOutcome, { outcome: 'error' }>

const retryMs = 2_000
/** As long as a renewal takes that is not answered. */
const endsMs = 2_000
/** Of one live id. Older ones are history. */
const maxUnheard = 32
/** Tries at one end. */
const maxFailures = 10

export class LeaseReports implements LeaseClient, Disposable {
  readonly #options: LeaseReportsOptions
  /** By live id, oldest first. */
  readonly #unheard = new Map<string, UnheardEnd[]>()
  /** By live id, the last one where that was not heard. */
  readonly #unheardRenewals = new Map<string, LeaseRenewal>()
  /** By live id, the epoch of the last renewal that was held, until the end of that. */
  readonly #held = new Map<string, number>()
  readonly #telling = new Map<string, Promise<string | undefined>>()
  #timer: Timer | undefined

  constructor(options: LeaseReportsOptions) {
    this.#options = options
  }

  /** True where the broadcast of that epoch has ended here, and nobody knows. */
  isOver(liveId: string, epoch: number): boolean {
    return (this.#unheard.get(liveId) ?? []).some(({ release }) => epoch <= release.epoch)
  }

  async renewLease(liveId: string, renewal: LeaseRenewal): Promise<LeaseOutcome> {
    const adopt = this.#options.standIn.adoptionOf(liveId, renewal)
    const sent = adopt ? { ...renewal, adopt } : renewal
    const isClaim = adopt && this.#held.get(liveId) !== renewal.epoch
    const error = isClaim ? await this.#endsFirst(liveId) : undefined
    const answer: LeaseOutcome =
      error === undefined ? await this.#renew(liveId, sent) : { outcome: 'error', error }
    if (answer.outcome === 'error') this.#unheardRenewals.set(liveId, sent)
    else this.#unheardRenewals.delete(liveId)
    if (answer.outcome === 'held') this.#held.set(liveId, renewal.epoch)
    // Whoever asks lets in whom nothing speaks against, also where nobody answers.
    const isHeld = answer.outcome === 'held' && !answer.stop && !answer.refused
    if (answer.outcome === 'error' || isHeld) this.#options.standIn.letIn(liveId, renewal)
    return answer
  }

  async releaseLease(liveId: string, release: LeaseRelease): Promise<void> {
    this.#options.standIn.over(liveId, release.epoch)
    const renewal = this.#unheardRenewals.get(liveId)
    this.#unheardRenewals.delete(liveId)
    this.#forgetHeld(liveId, release.epoch)
    const isOfIt = renewal?.epoch === release.epoch
    const ends = this.#unheard.get(liveId) ?? []
    ends.push({ renewal: isOfIt ? renewal : undefined, release, failures: 0 })
    this.#unheard.set(liveId, ends.slice(-maxUnheard))
    this.#timer ??= this.#options.clock.setInterval(() => this.#retry(), retryMs)
    await this.#tellEnds(liveId)
  }

  [Symbol.dispose](): void {
    this.#timer?.cancel()
  }

  async #renew(liveId: string, renewal: LeaseRenewal): Promise<LeaseOutcome> {
    const { client, standIn } = this.#options
    const answer = await client.renewLease(liveId, renewal)
    if (answer.outcome === 'error') return answer
    // Whoever is refused while it does not send is to hear of it when it does.
    const isUnheard = answer.refused !== undefined && renewal.nonce === null
    if (renewal.adopt && !isUnheard) standIn.told(liveId, renewal.adopt)
    if (answer.outcome === 'lost') {
      standIn.over(liveId, renewal.epoch)
      this.#forgetHeld(liveId, renewal.epoch)
    }
    return answer
  }

  #retry(): void {
    for (const liveId of this.#unheard.keys()) void this.#tellEnds(liveId)
  }

  #forgetHeld(liveId: string, epoch: number): void {
    if (this.#held.get(liveId) === epoch) this.#held.delete(liveId)
  }

  async #endsFirst(liveId: string): Promise<string | undefined> {
    if (!this.#unheard.has(liveId)) return undefined
    const late = Promise.withResolvers<string>()
    const timer = this.#options.clock.setTimeout(() => late.resolve('ends not heard'), endsMs)
    try {
      return await Promise.race([this.#tellEnds(liveId), late.promise])
    } finally {
      timer.cancel()
    }
  }

  /** Answers the error that kept it from telling all. */
  #tellEnds(liveId: string): Promise<string | undefined> {
    if (!this.#unheard.has(liveId)) return Promise.resolve(undefined)
    const telling =
      this.#telling.get(liveId) ??
      this.#tell(liveId).finally(() => {
        this.#telling.delete(liveId)
      })
    this.#telling.set(liveId, telling)
    return telling
  }

  async #tell(liveId: string): Promise<string | undefined> {
    const { client } = this.#options
    for (;;) {
      const end = this.#unheard.get(liveId)?.[0]
      if (!end) break
      const { renewal, release } = end
      if (renewal) {
        const adopt = renewal.adopt && { ...renewal.adopt, isOver: true }
        const last = { ...renewal, nonce: null, state: 'held', ...(adopt && { adopt }) } as const
        const answer = await this.#renew(liveId, last)
        if (answer.outcome === 'error' && !isGivenUp(answer, end)) return answer.error
      }
      const answer = await client.releaseLease(liveId, release)
      if (answer.outcome === 'error' && !isGivenUp(answer, end)) return answer.error
      const ends = this.#unheard.get(liveId) ?? []
      this.#unheard.set(
        liveId,
        ends.filter((it) => it !== end),
      )
    }
    this.#unheard.delete(liveId)
    if (this.#unheard.size === 0) {
      this.#timer?.cancel()
      this.#timer = undefined
    }
    return undefined
  }
}

/** It will never be heard, and must not keep what comes after it back: rejected, or failed at too often. */
function isGivenUp({ status }: LeaseError, end: UnheardEnd): boolean {
  if (status === undefined) return false
  if (status === 500) end.failures += 1
  return end.failures >= maxFailures || (status >= 400 && status < 500 && status !== 401)
}
