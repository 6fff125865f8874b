// Leases, transcoders and a commit log through everything that can happen to them, in whatever order, the coordinator's
// absence included: at most one committed writer per segment, epochs that only grow, and a stream that can always go on.
import { randomUUID } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Holder, LeaseRenewal } from '../../common/contract/placement.ts'
import { type Database, openDatabase } from '../../coordinator/database/database.ts'
import type { ActiveLease } from '../../coordinator/lease-store.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { type Step, step, type Way } from './lease-steps.ts'
import { addChannel, LeaseWorld, type Transcoder } from './lease-world.ts'

// Enough for every commit; raise it for a night. A comparison of epoch or instance that is dropped is found within 200.
const schedules = 300

/** A publisher's relay. */
interface Encoder {
  connection: string
  attempt: number
  former: string | undefined
  /** Who it was last given. */
  holder: Holder | undefined
}

interface Placed {
  connection: string
  attempt: number
  nonce: string
  isTakeover: boolean
}

/** Who has a broadcast, and who had it. */
interface Seat {
  taken: Placed | undefined
  /** Placed under the present epoch, and not let in. */
  waiting: Placed[]
  replaced: Set<string>
  takenOverMs: number[]
}

/** What a database knows: goes back with it. */
interface Known {
  granted: Holder[]
  /** By broadcast. */
  seats: Map<string, Seat>
}

class Model {
  readonly world: LeaseWorld
  readonly encoders: Encoder[]
  #known: Known = { granted: [], seats: new Map() }
  #copy: { rows: Awaited<ReturnType<LeaseWorld['copy']>>; known: Known } | undefined
  #connections = 0
  /** Ways to a transcoder that were gone. */
  readonly #came = new Set<string>()

  constructor(world: LeaseWorld) {
    this.world = world
    this.encoders = [this.#encoder(undefined), this.#encoder(undefined)]
    world.onHeld = (nonce) => this.#letIn(nonce)
    world.onAdoption = (renewal, before, after) => this.#judgeAdoption(renewal, before, after)
  }

  async take(now: Step): Promise<void> {
    const { world } = this
    const node = 'node' in now ? world.transcoders[now.node]! : undefined
    switch (now.do) {
      case 'publish':
        await this.#publishAs(now)
        break
      case 'renew':
        if (node?.job) await this.renew(node)
        break
      case 'commit':
        this.commit(node!)
        break
      case 'giveBack':
        await this.giveBack(node!, 'publisher-left')
        break
      case 'unbind':
        await this.giveBack(node!, 'transcoder-failed')
        break
      case 'freeze':
        node!.isFrozen = true
        break
      case 'deafen':
        node!.isDeaf = true
        break
      case 'cutOff':
        node!.isCutOff = true
        break
      case 'recover':
        await this.recover(node!)
        break
      case 'drain':
        node!.isDraining = !node!.isDraining
        await world.beat()
        break
      case 'restart':
        await world.restart(node!)
        break
      case 'wait':
        await world.wait(now.seconds, now.renews)
        break
      case 'stop':
        if (!world.isAway) await world.stop()
        break
      case 'goAway':
        await world.goAway()
        break
      case 'comeBack':
        await this.comeBack()
        break
      case 'partGateway':
        if (!world.isAway) await world.look()
        world.isCutOff = true
        break
      case 'healGateway':
        world.isCutOff = false
        break
      case 'copy':
        this.#copy = { rows: await world.copy(), known: structuredClone(this.#known) }
        break
      case 'rollBack':
        if (!this.#copy) break
        await world.rollBack(this.#copy.rows)
        this.#known = structuredClone(this.#copy.known)
        break
      case 'restartCoordinator':
        await world.bootCoordinator()
        break
    }
  }

  /** What it had in hand goes out first, before it hears that it has lost. */
  async recover(node: Transcoder): Promise<void> {
    node.isFrozen = false
    node.isDeaf = false
    this.commit(node)
    node.isCutOff = false
    await this.world.beat()
    if (node.job) await this.renew(node)
  }

  async comeBack(): Promise<void> {
    if (this.world.isAway) await this.world.bootCoordinator()
    await this.world.beat()
  }

  async giveBack(node: Transcoder, reason: 'publisher-left' | 'transcoder-failed'): Promise<void> {
    const { world } = this
    const { job } = node
    const before = await world.standing()
    await world.giveBack(node, reason)
    const isHolder = job?.epoch === before.epoch && job.instance === before.lease?.instance
    const isUnheard = job && job.epoch > before.epoch
    if (!isHolder && !isUnheard) expect(await world.find()).toEqual(before.lease)
  }

  commit(node: Transcoder): void {
    const { home } = this.world
    const followed = home.holder
    const commit = this.world.commit(node)
    if (commit?.outcome !== 'committed') return
    expect(commit.by).toEqual(followed)
  }

  async renew(node: Transcoder): Promise<void> {
    const { epoch, instance, broadcastId, nonce } = node.job!
    const outcome = await this.world.renew(node, node.job!, nonce)
    if (outcome === 'error') return
    const lease = await this.world.find()
    const isRow = lease?.epoch === epoch && lease.instance === instance
    const isHolder = isRow && lease.broadcastId === broadcastId
    // An operator's stop is answered `held`, and ends the broadcast.
    if (isHolder || !node.job?.isLost) expect(outcome === 'lost').toBe(!isHolder)
    if (isHolder) expect({ epoch, instance }).toEqual(this.#known.granted.at(-1))
  }

  async #publishAs({ who, as, away, ...way }: Step & { do: 'publish' }): Promise<void> {
    let encoder = this.encoders[who]!
    if (as === 'new') {
      encoder = this.#encoder(encoder)
      this.encoders[who] = encoder
    }
    if (as === 'former' && encoder.former !== undefined) {
      await this.publish({ ...encoder, connection: encoder.former, attempt: 99 }, undefined, way)
      return
    }
    if (as === 'late') {
      await this.publish({ ...encoder, attempt: Math.max(1, encoder.attempt - 1) }, undefined, way)
      return
    }
    if (as === 'next') encoder.attempt += 1
    await this.publish(encoder, away ? encoder.holder : undefined, way)
  }

  /** As a gateway that is the home of the stream does; true when the transcoder has let the publisher in. */
  async publish(encoder: Encoder, away: Holder | undefined, way: Way): Promise<boolean> {
    const { world } = this
    const nonce = randomUUID()
    const granted = await this.#place(encoder, nonce, away, way.isLate)
    if (!granted) return false
    let grant = granted
    if (!world.home.follow(grant)) {
      const again = await this.#place(encoder, nonce, world.home.holder, false)
      if (!again) return false
      grant = again
      expect(world.home.follow(grant)).toBe(true)
    }
    const { epoch, instance } = grant
    encoder.holder = { epoch, instance }
    if (!way.comes) return false
    this.#came.add(nonce)
    const node = world.transcoders.find((it) => it.instance === instance)
    return node !== undefined && world.letIn(node, grant, { ...encoder, nonce })
  }

  #letIn(nonce: string | null): void {
    for (const seat of this.#known.seats.values()) {
      const at = seat.waiting.findIndex((it) => it.nonce === nonce)
      const placed = seat.waiting[at]
      if (!placed) continue
      const isOther = seat.taken !== undefined && seat.taken.connection !== placed.connection
      if (isOther) seat.replaced.add(seat.taken!.connection)
      if (isOther && placed.isTakeover) seat.takenOverMs.push(this.world.clock.now())
      seat.taken = placed
      seat.waiting = seat.waiting.filter((it, i) =>
        it.connection === placed.connection ? i > at : !seat.replaced.has(it.connection),
      )
    }
  }

  async #place(
    encoder: Encoder,
    nonce: string,
    away: Holder | undefined,
    isLate: boolean,
  ): Promise<(Holder & { broadcastId: string }) | undefined> {
    const { world } = this
    const { connection, attempt } = encoder
    const before = await world.find()
    const expected = this.#refusalOf(before, connection, attempt)
    const asks = { connection, attempt, nonce, ...(away && { away }) }
    const answer = await world.publish(asks, isLate)
    if (answer.late) this.#note(answer.late, asks, before)
    if (answer.by === 'nobody') return undefined
    if (answer.by === 'stand-in') {
      if ('refused' in answer) {
        const { code } = answer.refused
        expect(['already-publishing', 'takeover-too-often', 'maintenance']).toContain(code)
        return undefined
      }
      // One decides, and knows what the home has seen: there is no second try.
      const { epoch, instance, broadcastId } = answer.granted
      expect(world.home.follow({ epoch, instance })).toBe(true)
      return { epoch, instance, broadcastId }
    }
    if ('refused' in answer) {
      const { code } = answer.refused
      if (expected !== undefined) expect(code).toBe(expected)
      else expect(['no-transcoder', 'broadcast-stopped']).toContain(code)
      if (code === 'no-transcoder') {
        expect(this.#open(undefined)).toEqual([])
        const isStrange = away && before && away.epoch >= before.epoch
        const isLeft = isStrange && away.instance !== before.instance
        if (!isLeft) expect(this.#isHere(before?.instance)).toBe(false)
      }
      return undefined
    }
    expect(expected).toBeUndefined()
    this.#note(answer.granted, asks, before)
    const { epoch, instance, broadcastId } = answer.granted
    return { epoch, instance, broadcastId }
  }

  /** What the coordinator has granted. */
  #note(
    { epoch, instance, broadcastId }: Holder & { broadcastId: string },
    { away, ...placed }: Omit<Placed, 'isTakeover'> & { away?: Holder },
    before: ActiveLease | undefined,
  ): void {
    this.#judgeHolder({ epoch, instance }, before, away)
    const seat = this.#seatOf(broadcastId)
    const isOther = seat.taken !== undefined && seat.taken.connection !== placed.connection
    if (epoch !== before?.epoch) seat.waiting = []
    seat.waiting.push({ ...placed, isTakeover: isOther && before?.state === 'live' })
  }

  /** The row goes up, or stays; at its own epoch only the connection changes. */
  #judgeAdoption(
    { epoch, instance, adopt }: LeaseRenewal,
    before: { epoch: number; lease: ActiveLease | undefined },
    after: ActiveLease | undefined,
  ): void {
    const { lease } = before
    const { connection, attempt, nonce, replaced, broadcastId } = adopt!
    expect(this.#came).toContain(nonce)
    const placed = { connection, attempt, nonce, isTakeover: false }
    const isHolder = epoch === lease?.epoch && instance === lease.instance
    const isUnused = lease?.epoch === epoch && lease.state === 'starting' && !lease.stop
    const isOther = isUnused && !(isHolder && lease.broadcastId === broadcastId)
    const isTooLate = adopt!.isOver && lease && !isHolder
    if ((epoch > before.epoch || isOther) && !isTooLate) {
      expect(after).toMatchObject({ epoch, instance, broadcastId, connection: null })
      expect(after!.waiting.map((it) => it.nonce)).toEqual([nonce])
      const told = after!.replaced.map((it) => it.connection)
      expect(told).toEqual(expect.arrayContaining(replaced.map((it) => it.connection)))
      if (lease?.connection && lease.connection !== connection) {
        expect(told).toContain(lease.connection)
      }
      expect(told).not.toContain(connection)
      if (!isHolder) this.#known.granted.push({ epoch, instance })
      this.#known.seats.set(broadcastId, {
        ...{ taken: undefined, waiting: [placed], replaced: new Set(told) },
        takenOverMs: after!.replaced.flatMap(({ takenAtMs }) => takenAtMs ?? []),
      })
      return
    }
    const { waiting, expiresAt, ...kept } = after ?? {}
    if (lease) expect(lease).toMatchObject(kept)
    else expect(after).toBeUndefined()
    const isPlaced = waiting?.some((it) => it.nonce === nonce)
    if (!isPlaced || lease!.waiting.some((it) => it.nonce === nonce)) return
    this.#seatOf(broadcastId).waiting.push({ ...placed, isTakeover: lease!.state === 'live' })
  }

  #judgeHolder(holder: Holder, before: ActiveLease | undefined, away: Holder | undefined): void {
    const { granted } = this.#known
    const last = granted.at(-1) ?? { epoch: 0, instance: '' }
    const isSame = holder.epoch === last.epoch && holder.instance === last.instance
    if (!isSame) {
      expect(holder.epoch).toBe(Math.max(last.epoch, away?.epoch ?? 0) + 1)
      granted.push(holder)
    }
    const held = before && this.#holderOf(before)
    if (held && (!away || away.epoch < before.epoch)) expect(holder.instance).toBe(held)
    if (away && before?.epoch === away.epoch && before.instance === away.instance) {
      const others = this.#open(away.instance)
      if (others.length > 0) expect(others).toContain(holder.instance)
      else expect(holder).toEqual(away)
    }
    if (away && away.instance !== holder.instance) expect(holder.epoch).not.toBe(away.epoch)
  }

  /** What an independent reading of the rules says of a publish; `undefined` where it may have the channel. */
  #refusalOf(
    lease: ActiveLease | undefined,
    connection: string,
    attempt: number,
  ): string | undefined {
    if (!lease) return undefined
    const { taken, waiting, replaced, takenOverMs } = this.#seatOf(lease.broadcastId)
    const own = [taken, ...waiting].filter((it) => it?.connection === connection)
    if (own.some((it) => attempt < it!.attempt)) return 'already-publishing'
    if (replaced.has(connection)) return 'already-publishing'
    if (lease.state !== 'live' || !taken || taken.connection === connection) return undefined
    const nowMs = this.world.clock.now()
    const agesMs = takenOverMs.map((atMs) => nowMs - atMs).filter((ageMs) => ageMs < 60_000)
    return agesMs.length >= 3 && Math.min(...agesMs) < 5_000 ? 'takeover-too-often' : undefined
  }

  #seatOf(broadcast: string): Seat {
    const { seats } = this.#known
    if (!seats.has(broadcast)) {
      seats.set(broadcast, {
        ...{ taken: undefined, waiting: [] },
        ...{ replaced: new Set(), takenOverMs: [] },
      })
    }
    return seats.get(broadcast)!
  }

  #isHere(instance: string | null | undefined): boolean {
    return this.world.membership
      .members('transcoder')
      .some(({ info }) => info.instance === instance)
  }

  /** Instances that may be given a stream, but for this one. */
  #open(except: string | undefined): string[] {
    return this.world.membership
      .members('transcoder')
      .filter(({ info }) => !info.draining && info.instance !== except)
      .map(({ info }) => info.instance)
  }

  #holderOf(lease: ActiveLease): string | undefined {
    return this.#open(undefined).find((instance) => instance === lease.instance)
  }

  #encoder(former: Encoder | undefined): Encoder {
    const connection = `connection-${String(this.#connections++).padStart(6, '0')}`
    return { connection, attempt: 1, former: former?.connection, holder: undefined }
  }
}

let dir: string
let database: Database
const clock = new FakeClock()

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'nearcast-lease-model-'))
  const opened = await openDatabase(join(dir, 'coordinator.db'), clock)
  // What this proves does not depend on the disk, and 300 schedules are thousands of epochs.
  database = { ...opened, durably: (work) => opened.db.transaction().execute(work) }
  await addChannel(database)
})

afterAll(async () => {
  await database[Symbol.asyncDispose]()
  await rm(dir, { recursive: true, force: true })
})

test('one writer per segment, growing epochs, and a stream that can go on whatever happened', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 8, maxLength: 30 }), async (steps) => {
      using world = await LeaseWorld.start(database, clock)
      const model = new Model(world)
      for (const now of steps) await model.take(now)
      const writers = [...world.home.committed.values()]
      for (const [i, { epoch, instance }] of writers.entries()) {
        const before = writers[i - 1]
        if (!before) continue
        expect(epoch).toBeGreaterThanOrEqual(before.epoch)
        if (epoch === before.epoch) expect(instance).toBe(before.instance)
      }

      world.isCutOff = false
      await model.comeBack()
      for (const node of world.transcoders) {
        node.isDraining = false
        await model.recover(node)
      }
      await world.wait(8, true)
      await model.take({
        do: 'publish',
        who: 0,
        as: 'new',
        away: false,
        comes: true,
        isLate: false,
      })
      const { nextNumber } = world.home
      for (const node of world.transcoders) model.commit(node)
      expect(world.home.nextNumber).toBe(nextNumber + 1)
    }),
    { numRuns: schedules },
  )
}, 60_000)
