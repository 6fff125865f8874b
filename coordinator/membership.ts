// Who is in the cluster: nodes by their heartbeats, gone after some missed ones.
import type { Clock } from '../common/clock.ts'
import {
  type Heartbeat,
  heartbeatSchema,
  type NodeInfo,
  type Role,
} from '../common/contract/membership.ts'
import type { Logger } from '../common/log.ts'
import type { Queries } from './database/database.ts'

export interface Member {
  info: NodeInfo
  heartbeat: Heartbeat
  /** Monotonic ms. */
  seenAt: number
  /** Wall ms. */
  joinedAt: number
  /** The process that had this id before; it may not come back while the present one is here. */
  formerInstance: string | undefined
}

/** A node that was here lately, for people who look for it. */
export interface Departed {
  info: NodeInfo
  joinedAt: number
  /** Wall ms. */
  goneAt: number
  how: 'left' | 'gone'
}

const rememberDepartedMs = 10 * 60_000
const maxDeparted = 100

export interface MembershipOptions {
  db: Queries
  clock: Clock
  log: Logger
  goneAfterMs: number
  /** True for a node that the operator has taken out of service, whatever it says itself. */
  isDrained?: (id: string) => boolean
  /** `load` when nothing but load figures and viewers differ. */
  onChange: (kind: 'cluster' | 'load') => void
}

export class Membership {
  readonly #options: MembershipOptions
  readonly #members = new Map<string, Member>()
  readonly #departed = new Map<string, Departed>()
  #sweptAt: number

  constructor(options: MembershipOptions) {
    this.#options = options
    this.#sweptAt = options.clock.monotonic()
  }

  /** Takes the nodes that were here before a restart as present until they miss their heartbeats. */
  async restore(): Promise<void> {
    const rows = await this.#options.db.selectFrom('nodes').selectAll().execute()
    for (const row of rows) {
      const parsed = heartbeatSchema.safeParse(JSON.parse(row.heartbeat))
      if (parsed.success) this.#put(row.id, parsed.data)
    }
  }

  /** `id-taken`: two processes claim one id, and this is the older one. */
  async beat(id: string, heartbeat: Heartbeat): Promise<'ok' | 'id-taken'> {
    const before = this.#members.get(id)
    if (before && before.formerInstance === heartbeat.instance) return 'id-taken'
    if (before && before.heartbeat.role !== heartbeat.role && this.#isPresent(before)) {
      return 'id-taken'
    }
    this.#put(id, heartbeat)
    const isNew = before?.heartbeat.instance !== heartbeat.instance
    if (isNew) {
      this.#options.log.info({ node: id, role: heartbeat.role }, 'node joined')
    }
    const changed = isNew || standingOf(before!.heartbeat) !== standingOf(heartbeat)
    this.#options.onChange(changed ? 'cluster' : 'load')
    if (changed) await this.#store(id, heartbeat)
    return 'ok'
  }

  /** To be called when an operator has taken a node out of service, or let it in again. */
  reconsider(id: string): void {
    const member = this.#members.get(id)
    if (!member) return
    member.info = this.#infoOf(id, member.heartbeat)
    this.#options.onChange('cluster')
  }

  async leave(id: string): Promise<void> {
    if (!this.#members.has(id)) return
    this.#options.log.info({ node: id }, 'node left')
    await this.#remove(id, 'left')
  }

  /**
   * Removes who has missed its heartbeats. Answers true when this process itself stood still (a suspended
   * machine): then nobody is blamed for the silence.
   */
  async sweep(): Promise<boolean> {
    const { clock, goneAfterMs } = this.#options
    const now = clock.monotonic()
    const stoodStillMs = now - this.#sweptAt
    this.#sweptAt = now
    if (stoodStillMs > goneAfterMs / 2) {
      for (const member of this.#members.values()) member.seenAt += stoodStillMs
      return true
    }
    for (const [id, member] of this.#members) {
      if (this.#isPresent(member)) continue
      this.#options.log.warn({ node: id, role: member.info.role }, 'node gone: heartbeats missed')
      await this.#remove(id, 'gone')
    }
    this.#forgetDeparted()
    return false
  }

  member(id: string): Member | undefined {
    return this.#members.get(id)
  }

  members(role?: Role): Member[] {
    const all = [...this.#members.values()]
    return role ? all.filter((member) => member.info.role === role) : all
  }

  /** True while this very process is here. */
  isAlive(id: string | null, instance: string | null): boolean {
    const member = id === null ? undefined : this.#members.get(id)
    return member !== undefined && member.heartbeat.instance === instance
  }

  /** Nodes that went in the last minutes. */
  departed(): Departed[] {
    return [...this.#departed.values()]
  }

  #forgetDeparted(): void {
    const now = this.#options.clock.now()
    for (const [id, { goneAt }] of this.#departed) {
      const isOld = now - goneAt > rememberDepartedMs
      if (isOld || this.#departed.size > maxDeparted) this.#departed.delete(id)
    }
  }

  #isPresent(member: Member): boolean {
    return this.#options.clock.monotonic() - member.seenAt <= this.#options.goneAfterMs
  }

  #put(id: string, heartbeat: Heartbeat): void {
    const before = this.#members.get(id)
    const isSame = before?.heartbeat.instance === heartbeat.instance
    this.#departed.delete(id)
    this.#members.set(id, {
      info: this.#infoOf(id, heartbeat),
      heartbeat,
      seenAt: this.#options.clock.monotonic(),
      joinedAt: isSame ? before!.joinedAt : this.#options.clock.now(),
      formerInstance: isSame ? before!.formerInstance : before?.heartbeat.instance,
    })
  }

  #infoOf(id: string, { viewers: _viewers, ...info }: Heartbeat): NodeInfo {
    return { ...info, id, draining: info.draining || (this.#options.isDrained?.(id) ?? false) }
  }

  async #remove(id: string, how: Departed['how']): Promise<void> {
    const member = this.#members.get(id)
    if (!member) return
    this.#members.delete(id)
    const { info, joinedAt } = member
    this.#departed.set(id, { info, joinedAt, goneAt: this.#options.clock.now(), how })
    this.#options.onChange('cluster')
    await this.#options.db.deleteFrom('nodes').where('id', '=', id).execute()
  }

  async #store(id: string, heartbeat: Heartbeat): Promise<void> {
    const text = JSON.stringify(heartbeat)
    await this.#options.db
      .insertInto('nodes')
      .values({ id, heartbeat: text })
      .onConflict((conflict) => conflict.column('id').doUpdateSet({ heartbeat: text }))
      .execute()
  }
}

/** What others act upon: everything but load figures. */
function standingOf(heartbeat: Heartbeat): string {
  const { load: _load, viewers: _viewers, ...standing } = heartbeat
  return JSON.stringify(standing)
}
