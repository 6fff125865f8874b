// Purges on all caches of the cluster: told with the snapshot that is pushed to every node, and done when each has said so.
//
// A pass is one push and the wait for its answers: gateways, gateways once more where there are several (they fetch from
// each other), then edges. Who does not answer in time is named, and does not hold up the others. It finds the order in
// the snapshot when it is back; where that was a gateway, all passes are made again, since edges may have fetched what is
// old from it meanwhile.
import { randomUUID } from 'node:crypto'
import type { Clock } from '../common/clock.ts'
import type { PurgeOrder, PurgeReport } from '../common/contract/purge.ts'
import type { Logger } from '../common/log.ts'
import type { PurgeView } from './api/schemas.ts'
import type { Member, Membership } from './membership.ts'

export interface PurgeServiceOptions {
  membership: Membership
  clock: Clock
  log: Logger
  /** Orders are to be pushed at once. */
  onChange: () => void
}

type CacheRole = keyof PurgeOrder['passes']

interface Purge {
  order: PurgeOrder
  startedAt: number
  /** The first run of all passes is over. */
  answeredAt: number | undefined
  /** By node id: the process that answered, and what it said last. */
  reports: Map<string, PurgeReport & { instance: string }>
  wake: () => void
  /** Gateways that did not answer while it was their turn. */
  late: Set<string>
  isRunning: boolean
  /** A late gateway has answered. */
  isDueAgain: boolean
}

/** From the request on, all passes together within a second. */
const gatewaysUntilMs = 350
const againUntilMs = 550
const edgesUntilMs = 900
/** As long as nodes that are gone are remembered. */
const keptMs = 10 * 60_000
const maxKept = 200

export class PurgeService {
  readonly #options: PurgeServiceOptions
  readonly #purges = new Map<string, Purge>()

  constructor(options: PurgeServiceOptions) {
    this.#options = options
  }

  /** For the snapshot. */
  orders(): PurgeOrder[] {
    this.#forgetOld()
    return Array.from(this.#purges.values(), ({ order }) => order)
  }

  /** Resolves when every node has answered, or the time for that is over. */
  async purge(prefix: string): Promise<PurgeView> {
    const { clock, log } = this.#options
    this.#forgetOld()
    const id = randomUUID()
    const purge: Purge = {
      order: { id, prefix, passes: { gateway: 0, edge: 0 } },
      startedAt: clock.monotonic(),
      answeredAt: undefined,
      reports: new Map(),
      wake: () => {},
      late: new Set(),
      isRunning: false,
      isDueAgain: false,
    }
    this.#purges.set(id, purge)
    log.info({ purge: id, prefix }, 'purge asked for')
    await new Promise<void>((told) => void this.#run(purge, told))
    const view = this.#view(purge)
    const missing = view.nodes.filter(({ outcome }) => outcome !== 'purged').map((node) => node.id)
    log.info({ purge: id, prefix, milliseconds: view.milliseconds, missing }, 'purge told')
    return view
  }

  view(id: string): PurgeView | undefined {
    const purge = this.#purges.get(id)
    return purge && this.#view(purge)
  }

  /** What a node says of itself; false for a purge that is forgotten. */
  note(nodeId: string, id: string, report: PurgeReport): boolean {
    const purge = this.#purges.get(id)
    if (!purge) return false
    const instance = this.#options.membership.member(nodeId)?.heartbeat.instance ?? ''
    purge.reports.set(nodeId, { ...report, instance })
    purge.wake()
    if (purge.late.delete(nodeId)) purge.isDueAgain = true
    if (purge.isDueAgain && !purge.isRunning) void this.#run(purge)
    return true
  }

  async #run(purge: Purge, told = () => {}): Promise<void> {
    purge.isRunning = true
    do {
      purge.isDueAgain = false
      await this.#allPasses(purge)
      purge.answeredAt ??= this.#options.clock.monotonic()
      told()
    } while (purge.isDueAgain)
    purge.isRunning = false
  }

  async #allPasses(purge: Purge): Promise<void> {
    const { clock, membership } = this.#options
    const now = clock.monotonic()
    await this.#pass(purge, 'gateway', now + gatewaysUntilMs)
    if (membership.members('gateway').length > 1) {
      await this.#pass(purge, 'gateway', now + againUntilMs)
    }
    for (const { info } of this.#missing(purge, 'gateway')) purge.late.add(info.id)
    await this.#pass(purge, 'edge', now + edgesUntilMs)
  }

  async #pass(purge: Purge, role: CacheRole, until: number): Promise<void> {
    const { clock, onChange } = this.#options
    const { order } = purge
    purge.order = { ...order, passes: { ...order.passes, [role]: order.passes[role] + 1 } }
    onChange()
    const over = Promise.withResolvers<void>()
    const timer = clock.setTimeout(over.resolve, until - clock.monotonic())
    purge.wake = () => {
      if (this.#missing(purge, role).length === 0) over.resolve()
    }
    purge.wake()
    await over.promise
    timer.cancel()
    purge.wake = () => {}
  }

  #missing(purge: Purge, role: CacheRole): Member[] {
    return this.#options.membership.members(role).filter((member) => !isDone(purge, member, role))
  }

  #view(purge: Purge): PurgeView {
    const { order, reports, startedAt, answeredAt } = purge
    const { membership, clock } = this.#options
    const objectsOf = (id: string) => reports.get(id)?.purged ?? 0
    const lateOf = ({ info }: Member) => {
      const report = reports.get(info.id)
      const late = report?.instance === info.instance ? report.late : undefined
      return late && { lateWorkers: late }
    }
    const nodes: PurgeView['nodes'] = (['gateway', 'edge'] as const).flatMap((role) => [
      ...membership.members(role).map((member) => {
        const about = { id: member.info.id, role, objects: objectsOf(member.info.id) }
        return isDone(purge, member, role)
          ? { ...about, outcome: 'purged' as const }
          : { ...about, outcome: 'not-reached' as const, ...lateOf(member) }
      }),
      // It may be cut off from here and serve viewers all the same.
      ...membership
        .departed()
        .filter(({ info, how }) => info.role === role && how === 'gone')
        .map(({ info }) => ({ id: info.id, role, outcome: 'away' as const, objects: 0 })),
    ])
    return {
      id: order.id,
      prefix: order.prefix,
      complete: nodes.every(({ outcome }) => outcome === 'purged'),
      milliseconds: Math.round((answeredAt ?? clock.monotonic()) - startedAt),
      nodes,
    }
  }

  #forgetOld(): void {
    const before = this.#options.clock.monotonic() - keptMs
    for (const [id, { startedAt, isRunning }] of this.#purges) {
      if (isRunning) continue
      if (startedAt < before || this.#purges.size > maxKept) this.#purges.delete(id)
    }
  }
}

/** A process that began after the purge has forgotten all by beginning, and says so too. */
function isDone({ order, reports }: Purge, { info }: Member, role: CacheRole): boolean {
  const report = reports.get(info.id)
  return (
    report !== undefined && report.instance === info.instance && report.pass >= order.passes[role]
  )
}
