// The shield in front of a home: what viewers of a stream get whose home is this gateway.
import { randomUUID } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { ClusterSnapshot, NodeInfo, Role } from '../../../../common/contract/membership.ts'
import { silentLogger } from '../../../../common/log.ts'
import { Metrics } from '../../../../common/metrics.ts'
import { HomeStore } from '../../../../origin/gateway/home/home-store.ts'
import { Shield } from '../../../../origin/gateway/shield.ts'
import { Listeners } from '../../../support/cache-rig.ts'
import type { FakeClock } from '../../../support/fake-clock.ts'
import { settle } from '../../../support/fake-clock.ts'
import { heartbeatOf } from '../../../support/heartbeats.ts'
import { firstInstance, LiveStage } from '../../../support/live-road.ts'
import { ScriptedOrigin } from '../../../support/scripted-origin.ts'
import { broadcast } from '../../../support/segment-logs.ts'
import { until } from '../../../support/until.ts'

const take = `${broadcast.broadcastTag}-1`

class Gateway implements AsyncDisposable {
  readonly id: string
  readonly homes: HomeStore
  /** Paths that were asked for here. */
  readonly asked: string[]
  snapshot: ClusterSnapshot = { generation: 1, nodes: [], routes: [] }
  readonly #clock: FakeClock
  readonly #shield: Shield
  readonly #listeners: Listeners

  private constructor(
    id: string,
    clock: FakeClock,
    asked: string[],
    listen: (shield: Shield) => Listeners,
  ) {
    this.id = id
    this.asked = asked
    this.#clock = clock
    const plumbing = {
      authorize: async () => 'node-token',
      clock,
      log: silentLogger,
      metrics: new Metrics('gateway', id, '0'),
    }
    this.homes = new HomeStore({
      ...plumbing,
      gatewayId: id,
      onLeft: (it) => this.#shield.letGo(it),
    })
    this.#shield = new Shield({
      ...plumbing,
      name: id,
      cache: { memoryBytes: 1_000_000, maxObjectBytes: 1_000_000 },
      snapshot: () => this.snapshot,
      homes: this.homes,
      coordinator: {
        channelStatus: async () => ({ status: 200, body: '{}' }),
        recordingLocation: async () => ({ missing: true }),
      },
    })
    this.#listeners = listen(this.#shield)
  }

  static async start(clock: FakeClock, id = 'gw-1'): Promise<Gateway> {
    let shield: Shield | undefined
    const asked: string[] = []
    const listeners = await Listeners.start((req, res) => {
      asked.push(req.url!)
      shield?.handle(req, res)
    })
    return new Gateway(id, clock, asked, (made) => {
      shield = made
      return listeners
    })
  }

  async follow(stage: LiveStage, epoch = 1, instance = firstInstance): Promise<void> {
    const { broadcastId } = broadcast
    const transcoder = { url: stage.url }
    this.homes.follow({ liveId: 'demo', broadcastId, epoch, instance, transcoder })
    await this.hears(stage)
  }

  async hears({ broadcast: made }: LiveStage): Promise<void> {
    const position = (it: typeof made | ReturnType<HomeStore['home']>) =>
      made.playlistNames.map((name) => {
        const last = it?.playlist(name)?.segments.at(-1)
        return `${last?.number} ${last?.isOpen} ${last?.parts.length}`
      })
    await until('the home has all', () => {
      return String(position(this.homes.home('demo'))) === String(position(made))
    })
  }

  get url(): string {
    return this.#listeners.url('h1')
  }

  route(url: string, { epoch = 1, home = null as string | null } = {}): void {
    const { broadcastId, broadcastTag, startedAtMs: startedAt } = broadcast
    const facts = { liveId: 'demo', broadcastId, broadcastTag, startedAt, takes: 1 }
    const transcoder = { id: 'tc-1', url }
    const route = { ...facts, epoch, instance: firstInstance, connection: null, home, transcoder }
    this.snapshot = { ...this.snapshot, routes: [route] }
  }

  /** Who else is in the cluster. */
  knows(...nodes: { id: string; url: string }[]): void {
    const infoOf = ({ id, url }: { id: string; url: string }): NodeInfo => {
      const role: Role = id.startsWith('gw') ? 'gateway' : 'transcoder'
      const beat = heartbeatOf(id, { role, instance: firstInstance, urls: { http: url } })
      return { ...beat, id }
    }
    this.snapshot = { ...this.snapshot, nodes: nodes.map(infoOf) }
  }

  unroute(): void {
    this.snapshot = { ...this.snapshot, routes: [] }
  }

  view(path: string) {
    return this.#listeners.view('h1', `/live/demo/${path}`)
  }

  async get(path: string) {
    // What was cached for a second is asked for anew.
    await this.#clock.advance(1_001)
    const answer = await this.view(path)
    return { status: answer.status, body: await answer.text() }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.homes[Symbol.asyncDispose]()
    await this.#shield[Symbol.asyncDispose]()
    await this.#listeners[Symbol.asyncDispose]()
  }
}

async function onAir(segments = 4): Promise<LiveStage> {
  const stage = await LiveStage.start()
  stage.broadcast.beginTake()
  stage.broadcast.addSegments(segments)
  stage.broadcast.addParts()
  return stage
}

it('gets everything from memory, and the transcoder is asked for nothing but its feed', async () => {
  await using stage = await onAir()
  await using gateway = await Gateway.start(stage.clock)
  gateway.route(stage.url)
  await gateway.follow(stage)
  for (const path of [
    ...['index.m3u8', '720p.m3u8', 'manifest.mpd', 'timeline.mpd', '720p-iframes.m3u8'],
    ...[`${take}/720p/init.mp4`, `${take}/720p/2.m4s`, `${take}/720p/p3.m4s`],
    ...['1080p.m3u8', `${take}/720p/99.m4s`, '720p.m3u8?_HLS_msn=99'],
  ]) {
    const held = await gateway.get(path)
    expect(stage.served).toEqual([])
    const made = await stage.view(path)
    expect(held.status, path).toBe(made.status)
    const times = / publishTime="[^"]*"/
    expect(held.body.replace(times, '')).toBe((await made.text()).replace(times, ''))
    stage.served.length = 0
  }
})

it('gets an open segment part by part, and its end when it is closed', async () => {
  await using stage = await onAir()
  await using gateway = await Gateway.start(stage.clock)
  await gateway.follow(stage)
  const answer = await gateway.view(`${take}/720p/5.m4s`)
  let bytes = ''
  for (let i = 0; i < 3; i++) {
    bytes += String(stage.broadcast.segment(take, '720p', 5)!.parts.at(-1)!.bytes)
    expect(String(await answer.bytes(bytes.length))).toBe(bytes)
    stage.broadcast.addParts()
  }
  bytes += String(stage.broadcast.segment(take, '720p', 5)!.parts.at(-1)!.bytes)
  stage.broadcast.closeSegments()
  expect(await answer.rest()).toEqual({ body: Buffer.from(bytes), end: 'clean' })
})

it('waits for a reload and a hint until they come', async () => {
  await using stage = await onAir()
  await using gateway = await Gateway.start(stage.clock)
  await gateway.follow(stage)
  const next = stage.broadcast.playlist('720p')!.next!.partId
  const views = [
    gateway.view('720p.m3u8?_HLS_msn=5&_HLS_part=1'),
    gateway.view(`${take}/720p/p${next}.m4s`),
  ]
  await settle()
  stage.broadcast.addParts()
  const [playlist, part] = await Promise.all(views)
  expect(await playlist!.text()).toContain(`p${next}.m4s`)
  expect(await part!.text()).toBe(`${take}/720p part ${next};`)
})

it('loses nothing with the transcoder, and gets what comes next from another one', async () => {
  const first = await onAir()
  await using gateway = await Gateway.start(first.clock)
  await gateway.follow(first)
  const before = await gateway.get('720p.m3u8')
  const growing = await gateway.view(`${take}/720p/5.m4s`)
  const reload = gateway.view('720p.m3u8?_HLS_msn=6')
  first.feeds[Symbol.dispose]()
  await first[Symbol.asyncDispose]()
  expect(await gateway.get('720p.m3u8')).toEqual(before)
  expect((await gateway.get(`${take}/720p/p3.m4s`)).status).toBe(200)
  const instance = randomUUID()
  await using second = await LiveStage.start({ epoch: 2, instance })
  second.broadcast.beginTake()
  second.broadcast.addSegments(4)
  second.broadcast.addParts(3)
  second.broadcast.closeSegments()
  second.broadcast.addSegments(1)
  await gateway.follow(second, 2, instance)
  const { body, end } = await growing.rest()
  expect(end).toBe('clean')
  expect(String(body)).toBe([17, 18, 19].map((id) => `${take}/720p part ${id};`).join(''))
  expect(await (await reload).text()).toContain(`${take}/720p/6.m4s`)
})

it('is held behind the end of the media while nobody makes any', async () => {
  const first = await onAir()
  await using gateway = await Gateway.start(first.clock)
  await gateway.follow(first)
  await first[Symbol.asyncDispose]()
  await first.clock.advance(8_500)
  expect((await gateway.get('720p.m3u8')).body).toContain('#EXT-X-GAP')
  const held = gateway.view(`${take}/720p/6.m4s`)
  await settle()
  const instance = randomUUID()
  await using second = await LiveStage.start({
    ...{ epoch: 2, instance },
    facts: { firstNumber: 8, earlierTakes: 1 },
  })
  second.broadcast.beginTake({ startSeconds: 30 })
  second.broadcast.addSegments(2)
  await gateway.follow(second, 2, instance)
  const answer = await held
  expect([answer.status, JSON.parse(await answer.text()).error]).toEqual([404, 'segment-unknown'])
})

it('hears of the end for a minute, and then asks as if there had been no home', async () => {
  await using stage = await onAir()
  await using gateway = await Gateway.start(stage.clock)
  await gateway.follow(stage)
  stage.broadcast.end()
  await until('the end', () => gateway.homes.home('demo')?.isEnded)
  expect((await gateway.get('720p.m3u8')).body).toContain('#EXT-X-ENDLIST')
  expect((await gateway.get('manifest.mpd')).body).toContain('type="static"')
  await stage.clock.advance(60_000)
  expect((await gateway.get('720p.m3u8')).status).toBe(404)
})

it('is sent on when the route names another home, and for what has left memory', async () => {
  await using stage = await LiveStage.start({ keptSegments: 12 })
  stage.broadcast.beginTake()
  stage.broadcast.addSegments(20)
  await using gateway = await Gateway.start(stage.clock)
  gateway.route(stage.url, { home: 'gw-1' })
  await gateway.follow(stage)
  expect((await gateway.get(`${take}/720p/2.m4s`)).status).toBe(404)
  expect(stage.served).toEqual([expect.stringContaining('segment 404')])
  gateway.route(stage.url, { home: 'gw-2' })
  expect((await gateway.get('720p.m3u8')).status).toBe(200)
  expect(stage.served).toHaveLength(2)
  gateway.route(stage.url, { home: 'gw-2', epoch: 0 })
  expect((await gateway.get('720p.m3u8')).status).toBe(200)
  expect(stage.served).toHaveLength(2)
})

it('gets a playlist as it is now, also where it was asked for a moment ago', async () => {
  await using stage = await onAir()
  await using gateway = await Gateway.start(stage.clock)
  await gateway.follow(stage)
  const before = await (await gateway.view('720p.m3u8')).text()
  stage.broadcast.addParts()
  await gateway.hears(stage)
  expect(await (await gateway.view('720p.m3u8')).text()).not.toBe(before)
})

describe('by a gateway that is not the home', () => {
  let stage: LiveStage
  let home: Gateway
  let other: Gateway

  beforeEach(async () => {
    stage = await onAir()
    home = await Gateway.start(stage.clock)
    other = await Gateway.start(stage.clock, 'gw-2')
    home.knows(other)
    other.knows(home)
    home.route(stage.url, { home: 'gw-1' })
    other.route(stage.url, { home: 'gw-1' })
  })

  afterEach(async () => {
    for (const it of [home, other, stage]) await it[Symbol.asyncDispose]()
  })

  it('gets everything from the home, also when transcoder and route have gone', async () => {
    await home.follow(stage)
    for (const path of ['index.m3u8', '720p.m3u8', `${take}/720p/init.mp4`, `${take}/720p/2.m4s`]) {
      expect(await other.get(path), path).toEqual(await home.get(path))
    }
    const reload = other.view('720p.m3u8?_HLS_msn=5&_HLS_part=1')
    await settle()
    stage.broadcast.addParts()
    expect((await reload).status).toBe(200)
    expect(stage.served).toEqual([])
    await stage[Symbol.asyncDispose]()
    other.unroute()
    expect(await other.get('720p.m3u8')).toEqual(await home.get('720p.m3u8'))
    expect((await other.get(`${take}/720p/3.m4s`)).status).toBe(200)
  })

  it('gets it from the transcoder while the home has nothing yet', async () => {
    expect((await other.get('720p.m3u8')).status).toBe(200)
    expect(home.asked).toEqual(['/live/demo/720p.m3u8'])
    expect(stage.served).toHaveLength(1)
  })

  it('gets it from the transcoder when the home is gone or says nothing', async () => {
    await using silent = await ScriptedOrigin.start()
    other.knows({ id: 'gw-1', url: silent.url })
    const late = other.view('720p.m3u8')
    const abandoned = (await silent.next()).abandoned
    await stage.clock.advance(2_000)
    expect((await late).status).toBe(200)
    await abandoned
    const held = other.view('720p.m3u8?_HLS_msn=5&_HLS_part=0')
    await silent.next()
    await stage.clock.advance(8_000)
    expect((await held).status).toBe(200)
    await silent[Symbol.asyncDispose]()
    expect((await other.get('index.m3u8')).status).toBe(200)
    other.knows()
    expect((await other.get('manifest.mpd')).status).toBe(200)
    expect(stage.served).toHaveLength(4)
  })

  it('is asked for once where each takes the other for the home', async () => {
    home.route(stage.url, { home: 'gw-2' })
    const answers = await Promise.all([home.get('720p.m3u8'), other.get('720p.m3u8')])
    expect(answers.map(({ status }) => status)).toEqual([200, 200])
    expect([home.asked.length, other.asked.length]).toEqual([2, 2])
    expect(stage.served).toHaveLength(2)
  })

  it('is told that nobody has it any more', async () => {
    other.knows(home, { id: 'tc-1', url: 'http://tc-1.test' })
    expect((await other.get('720p.m3u8')).status).toBe(200)
    other.knows(home)
    other.unroute()
    const { status, body } = await other.get('index.m3u8')
    expect([status, JSON.parse(body).error]).toEqual([503, 'upstream-no-upstream'])
  })
})
