// Nodes that an operator takes out of service, with transcoders and a gateway that do as their routes say.
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { ClusterSnapshot, Role } from '../../common/contract/membership.ts'
import type { DrainView } from '../../coordinator/api/schemas.ts'
import { CoordinatorFixture, type FakeNode } from './coordinator-fixture.ts'

class DrainRig implements AsyncDisposable {
  readonly fixture: CoordinatorFixture
  readonly keys = new Map<string, string>()
  readonly nodes = new Map<string, FakeNode>()
  #snapshot: ClusterSnapshot | undefined

  private constructor(fixture: CoordinatorFixture) {
    this.fixture = fixture
  }

  static async start(): Promise<DrainRig> {
    const rig = new DrainRig(await CoordinatorFixture.start())
    rig.#follow()
    await rig.node('gw-1', 'gateway')
    return rig
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.fixture[Symbol.asyncDispose]()
  }

  async node(id: string, role: Role): Promise<FakeNode> {
    const node = await this.fixture.node(id, role)
    this.nodes.set(id, node)
    return node
  }

  get gateway(): FakeNode {
    return this.nodes.get('gw-1')!
  }

  async restart(): Promise<void> {
    await this.fixture.restart()
    this.#follow()
  }

  /** The snapshot as it is pushed once the time for gathering changes is over. */
  async snapshot(): Promise<ClusterSnapshot> {
    await this.fixture.clock.advance(20)
    return this.#snapshot!
  }

  async moving(): Promise<string[]> {
    const { routes } = await this.snapshot()
    return routes.filter(({ isMoving }) => isMoving).map(({ liveId }) => liveId)
  }

  /** Streams that are live, the first on `tc-1`, before any other transcoder is here. */
  async live(...liveIds: string[]): Promise<void> {
    for (const liveId of liveIds) {
      this.keys.set(liveId, await this.fixture.channel(liveId))
      await this.confirm(await this.publish(liveId))
    }
  }

  /** On the one connection that its publisher has. */
  async publish(liveId: string) {
    const connection = `connection-of-${liveId}`.padEnd(24, '-')
    return this.gateway.granted(this.keys.get(liveId)!, 'pop-1', { connection })
  }

  /** The transcoder renews for the first time. */
  async confirm({ liveId, epoch, transcoder }: Awaited<ReturnType<DrainRig['publish']>>) {
    await this.nodes.get(transcoder.id)!.renew(liveId, epoch)
  }

  /** What its gateway does with a stream whose turn it is. */
  async move(liveId: string): Promise<void> {
    await this.confirm(await this.publish(liveId))
  }

  /** Time in which every node beats. */
  async pass(ms: number): Promise<void> {
    for (let passed = 0; passed < ms; passed += 1_000) {
      for (const node of this.nodes.values()) await node.beat()
      await this.fixture.clock.advance(1_000)
    }
  }

  async ask(method: string, id: string, action = 'drain') {
    return this.fixture.call<DrainView>(method, `/api/v1/nodes/${id}/${action}`)
  }

  async drain(id: string): Promise<DrainView> {
    return (await this.ask('POST', id)).body
  }

  async view(id: string): Promise<DrainView> {
    return (await this.ask('GET', id)).body
  }

  #follow(): void {
    this.fixture.coordinator.parts('', '').snapshotFeed.follow((text) => {
      this.#snapshot = JSON.parse(text)
    })
  }
}

let rig: DrainRig

beforeEach(async () => {
  rig = await DrainRig.start()
})

afterEach(async () => {
  await rig[Symbol.asyncDispose]()
})

describe('a drained transcoder', () => {
  test('gets nothing new from this moment on, until it is undrained', async () => {
    await rig.node('tc-1', 'transcoder')
    expect(await rig.drain('tc-1')).toEqual({
      id: 'tc-1',
      role: 'transcoder',
      draining: true,
      since: '2026-01-01T00:00:00.000Z',
      streams: 0,
      left: 0,
      moving: null,
      obstacle: null,
    })
    const key = await rig.fixture.channel('demo')
    expect(await rig.gateway.publish(key)).toMatchObject({ code: 'no-transcoder' })
    const { body } = await rig.ask('POST', 'tc-1', 'undrain')
    expect(body).toMatchObject({ draining: false, since: null })
    expect(await rig.gateway.granted(key)).toMatchObject({ transcoder: { id: 'tc-1' } })
  })

  test('is draining to everybody, whatever its heartbeats say', async () => {
    const node = await rig.node('tc-1', 'transcoder')
    await rig.drain('tc-1')
    await node.beat()
    const { nodes } = await rig.snapshot()
    expect(nodes.find(({ id }) => id === 'tc-1')).toMatchObject({ draining: true })
    const listed = await rig.fixture.api<{ nodes: object[] }>('GET', '/nodes')
    expect(listed.nodes).toContainEqual(expect.objectContaining({ id: 'tc-1', health: 'draining' }))
  })

  test('stays so over restarts of its own and of the coordinator', async () => {
    const node = await rig.node('tc-1', 'transcoder')
    await rig.drain('tc-1')
    await node.restart()
    expect(await rig.view('tc-1')).toMatchObject({ draining: true, left: 0 })
    await node.leave()
    expect(await rig.view('tc-1')).toMatchObject({ draining: true, role: null })
    await rig.restart()
    await node.restart()
    expect(await rig.view('tc-1')).toMatchObject({ draining: true, role: 'transcoder' })
    await node.leave()
    expect((await rig.ask('POST', 'tc-1', 'undrain')).status).toBe(200)
    expect((await rig.ask('GET', 'tc-1')).status).toBe(404)
  })

  test('gives its streams away one after the other, each when the one before has another', async () => {
    await rig.node('tc-1', 'transcoder')
    await rig.live('one', 'two', 'three')
    await rig.node('tc-2', 'transcoder')
    expect(await rig.moving()).toEqual([])
    expect(await rig.drain('tc-1')).toMatchObject({ streams: 3, left: 3, moving: 'one' })
    expect(await rig.moving()).toEqual(['one'])
    const grant = await rig.publish('one')
    expect(grant).toMatchObject({ epoch: 2, transcoder: { id: 'tc-2' } })
    // Placed, but not yet confirmed by the other transcoder.
    expect(await rig.moving()).toEqual([])
    expect(await rig.view('tc-1')).toMatchObject({ streams: 3, left: 2, moving: null })
    await rig.confirm(grant)
    expect(await rig.moving()).toEqual(['three'])
    await rig.move('three')
    expect(await rig.moving()).toEqual(['two'])
    await rig.move('two')
    expect(await rig.moving()).toEqual([])
    expect(await rig.view('tc-1')).toMatchObject({ streams: 3, left: 0, obstacle: null })
    const { routes } = await rig.snapshot()
    expect(routes.map(({ transcoder }) => transcoder.id)).toEqual(['tc-2', 'tc-2', 'tc-2'])
  })

  test('goes on without whom does not move in its turn, and comes back to it', async () => {
    await rig.node('tc-1', 'transcoder')
    await rig.live('one', 'two')
    await rig.node('tc-2', 'transcoder')
    await rig.drain('tc-1')
    expect(await rig.moving()).toEqual(['one'])
    const renewed = async (ms: number) => {
      for (let passed = 0; passed < ms; passed += 2_000) {
        for (const liveId of ['one', 'two']) await rig.nodes.get('tc-1')!.renew(liveId, 1)
        await rig.pass(2_000)
      }
    }
    await renewed(10_000)
    expect(await rig.moving()).toEqual(['two'])
    await renewed(10_000)
    expect(await rig.moving()).toEqual(['one'])
  })

  test('goes on when the stream whose turn it was has ended', async () => {
    const holder = await rig.node('tc-1', 'transcoder')
    await rig.live('one', 'two')
    await rig.node('tc-2', 'transcoder')
    await rig.drain('tc-1')
    expect(await rig.moving()).toEqual(['one'])
    await holder.release('one', 1, 'publisher-left')
    expect(await rig.moving()).toEqual(['two'])
  })

  test('keeps its streams while there is no other transcoder, and gives them away when one comes', async () => {
    await rig.node('tc-1', 'transcoder')
    await rig.live('one')
    expect(await rig.drain('tc-1')).toMatchObject({ left: 1, obstacle: 'no-transcoder' })
    expect(await rig.moving()).toEqual([])
    await rig.node('tc-2', 'transcoder')
    expect(await rig.moving()).toEqual(['one'])
    expect(await rig.view('tc-1')).toMatchObject({ moving: 'one', obstacle: null })
  })

  test('does not ask a stream to move that has no publisher', async () => {
    const holder = await rig.node('tc-1', 'transcoder')
    await rig.live('one', 'two')
    await holder.renew('one', 1, { state: 'held' })
    await rig.node('tc-2', 'transcoder')
    await rig.drain('tc-1')
    expect(await rig.moving()).toEqual(['two'])
    await rig.move('two')
    expect(await rig.moving()).toEqual([])
    expect(await rig.view('tc-1')).toMatchObject({ left: 1, obstacle: 'publishers-away' })
    // A publisher that comes back is placed elsewhere by itself.
    expect(await rig.publish('one')).toMatchObject({ epoch: 2, transcoder: { id: 'tc-2' } })
    expect(await rig.view('tc-1')).toMatchObject({ left: 0 })
  })

  test('keeps what has not moved when it is undrained', async () => {
    await rig.node('tc-1', 'transcoder')
    await rig.live('one')
    await rig.node('tc-2', 'transcoder')
    await rig.drain('tc-1')
    expect(await rig.moving()).toEqual(['one'])
    await rig.ask('POST', 'tc-1', 'undrain')
    expect(await rig.moving()).toEqual([])
    expect(await rig.publish('one')).toMatchObject({ epoch: 1, transcoder: { id: 'tc-1' } })
  })

  test('drained twice counts from the first time', async () => {
    await rig.node('tc-1', 'transcoder')
    await rig.live('one', 'two')
    await rig.node('tc-2', 'transcoder')
    await rig.drain('tc-1')
    await rig.move('one')
    await rig.pass(5_000)
    expect(await rig.drain('tc-1')).toMatchObject({
      since: '2026-01-01T00:00:00.000Z',
      streams: 2,
      left: 1,
    })
  })

  test('is not alone: each drained node moves one of its own', async () => {
    await rig.node('tc-1', 'transcoder')
    await rig.live('one', 'two')
    await rig.node('tc-2', 'transcoder')
    await rig.drain('tc-1')
    await rig.move('one')
    await rig.node('tc-3', 'transcoder')
    await rig.drain('tc-2')
    expect(await rig.moving()).toEqual(['one', 'two'])
  })
})

describe('an edge or a gateway', () => {
  test.each<[string, Role]>([
    ['gw-1', 'gateway'],
    ['pop-1', 'edge'],
  ])('%s is drained without its publishers being moved', async (id, role) => {
    await rig.node('tc-1', 'transcoder')
    await rig.node('pop-1', 'edge')
    await rig.live('one')
    expect(await rig.drain(id)).toMatchObject({
      role,
      draining: true,
      left: 1,
      obstacle: 'publishers-stay',
    })
    expect(await rig.moving()).toEqual([])
    await rig.nodes.get('tc-1')!.renew('one', 1, { state: 'held' })
    expect(await rig.view(id)).toMatchObject({ streams: 1, left: 0, obstacle: null })
  })
})

test('a node that says itself that it drains cannot be let in by others', async () => {
  const node = await rig.node('tc-1', 'transcoder')
  node.settings.draining = true
  await node.beat()
  const { body } = await rig.ask('POST', 'tc-1', 'undrain')
  expect(body).toMatchObject({ draining: true, since: null })
})

test.each([
  ['POST', 'drain'],
  ['POST', 'undrain'],
  ['GET', 'drain'],
])(
  '%s …/%s of a node that is not there is a problem, and so is a name that is none',
  async (method, action) => {
    const missing = await rig.fixture.call(method, `/api/v1/nodes/tc-9/${action}`)
    expect(missing).toMatchObject({
      status: 404,
      body: { detail: expect.stringContaining('"tc-9"') },
    })
    expect((await rig.fixture.call(method, `/api/v1/nodes/No%20Id/${action}`)).status).toBe(400)
    expect(
      (await rig.fixture.call(method, `/api/v1/nodes/gw-1/${action}`, undefined, null)).status,
    ).toBe(401)
  },
)

test('whatever comes between, one stream of a drained node moves at a time, and in the end all have', async () => {
  const liveIds = ['a', 'b', 'c', 'd']
  const steps = fc.array(
    fc.record({
      what: fc.constantFrom('move', 'place', 'hold', 'live', 'time', 'restart'),
      liveId: fc.constantFrom(...liveIds),
    }),
    { maxLength: 12 },
  )
  await fc.assert(
    fc.asyncProperty(steps, async (taken) => {
      await using own = await DrainRig.start()
      await own.node('tc-1', 'transcoder')
      await own.live(...liveIds)
      await own.node('tc-2', 'transcoder')
      await own.drain('tc-1')
      const leases = async () => (await own.snapshot()).routes
      for (const { what, liveId } of taken) {
        const lease = (await leases()).find((route) => route.liveId === liveId)
        const holder = lease && own.nodes.get(lease.transcoder.id)!
        if (what === 'move' && lease?.isMoving) await own.move(liveId)
        if (what === 'place' && lease?.isMoving) await own.publish(liveId)
        if (what === 'hold' && lease) await holder!.renew(liveId, lease.epoch, { state: 'held' })
        if (what === 'live' && lease) await holder!.renew(liveId, lease.epoch)
        if (what === 'time') await own.pass(3_000)
        if (what === 'restart') await own.restart()
        const moving = await own.moving()
        expect(moving.length).toBeLessThanOrEqual(1)
        for (const route of await leases()) {
          if (route.isMoving) expect(route.transcoder.id).toBe('tc-1')
        }
      }
      for (const { liveId, epoch, transcoder } of await leases()) {
        await own.nodes.get(transcoder.id)!.renew(liveId, epoch)
      }
      for (let turn = 0; turn < liveIds.length; turn++) {
        await own.pass(1_000)
        const [next] = await own.moving()
        if (next !== undefined) await own.move(next)
      }
      expect(await own.view('tc-1')).toMatchObject({ left: 0, moving: null })
    }),
    { numRuns: 25 },
  )
})
