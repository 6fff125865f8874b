// A cache that reads live playlists, between a real origin and real viewers over HTTP/1.1 and HTTP/2.
import { gunzipSync } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { liveMediaPlaylist } from '../../../../common/live/hls-live.ts'
import { CacheRig } from '../../../support/cache-rig.ts'
import type { ViewedAnswer } from '../../../support/http-viewer.ts'
import { ScriptedBroadcast } from '../../../support/scripted-broadcast.ts'
import type { OriginExchange } from '../../../support/scripted-origin.ts'
import { until } from '../../../support/until.ts'

const playlist = '/live/demo/720p.m3u8'
const folder = '/live/demo/abcdefgh12-1/720p'
const next = `${playlist}?_HLS_msn=5&_HLS_part=1`
const gzip = { 'accept-encoding': 'gzip' }
const immutable = { 'cache-control': 'public, max-age=31536000, immutable' }

/** An origin that answers media and what is asked for at once; what it holds the test takes. */
class Stage implements AsyncDisposable {
  readonly rig: CacheRig
  readonly broadcast = new ScriptedBroadcast({ settings: { windowSegments: 20 } })
  readonly held: OriginExchange[] = []

  private constructor(rig: CacheRig) {
    this.rig = rig
    this.broadcast.beginTake()
    this.broadcast.addSegments(4)
    this.broadcast.addParts(1)
    rig.origin.respond = (exchange) => {
      const { url = '' } = exchange.req
      if (url.includes('_HLS_msn=') || url.endsWith(this.#nextPart)) this.held.push(exchange)
      else if (url === playlist) exchange.head(200).end(this.text)
      else exchange.head(200, immutable).end(`media of ${url}`)
    }
  }

  static async start(): Promise<Stage> {
    return new Stage(await CacheRig.start({ liveAware: true, compress: true }))
  }

  get text(): string {
    return liveMediaPlaylist(this.broadcast, '720p')!
  }

  get #nextPart(): string {
    return `/p${this.broadcast.playlist('720p')!.next!.partId}.m4s`
  }

  async holds(end: string): Promise<OriginExchange> {
    return await until(`${end} is held`, () => this.held.find(({ req }) => req.url!.endsWith(end)))
  }

  asked(path: string): number {
    return this.rig.origin.requests.filter((url) => url === path).length
  }

  async followers(count: number): Promise<void> {
    await until(
      `${count} followers`,
      async () => (await this.rig.metric('cache_fill_readers')) === count,
    )
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.rig[Symbol.asyncDispose]()
  }
}

function statusOf(answer: ViewedAnswer): string {
  return answer.headers['cache-status']!
}

describe.each(['h1', 'h2'] as const)('over %s', (protocol) => {
  it('viewers at several positions are held with one request upstream, and early and late ones get the change', async () => {
    await using stage = await Stage.start()
    const { rig } = stage
    const first = await rig.view(protocol, playlist)
    expect([statusOf(first), await first.text()]).toEqual(['pop-1; fwd=miss; stored', stage.text])
    const positions = [next, `${playlist}?_HLS_msn=5`, `${next}&_HLS_skip=v2`]
    const views = Array.from({ length: 30 }, (_, index) =>
      rig.view(protocol, positions[index % 3]!, index < 15 ? { headers: gzip } : {}),
    )
    await stage.followers(30)
    const wait = await stage.holds('_HLS_msn=5&_HLS_part=1')
    expect(stage.held.filter(({ req }) => req.url!.startsWith(playlist))).toHaveLength(1)
    stage.broadcast.change(() => {
      stage.broadcast.addParts(3)
      stage.broadcast.closeSegments()
    })
    wait.head(200).end(stage.text)
    const statuses = new Map<string, number>()
    for (const view of views) {
      const answer = await view
      const { body } = await answer.rest()
      const isCompressed = answer.headers['content-encoding'] === 'gzip'
      expect((isCompressed ? gunzipSync(body) : body).toString()).toBe(stage.text)
      statuses.set(statusOf(answer), (statuses.get(statusOf(answer)) ?? 0) + 1)
    }
    expect(statuses).toEqual(
      new Map([
        ['pop-1; fwd=stale; stored', 1],
        ['pop-1; fwd=miss; collapsed', 29],
      ]),
    )
    const late = await rig.view(protocol, next)
    expect([statusOf(late), await late.text()]).toEqual(['pop-1; hit; ttl=0', stage.text])
    await stage.holds('_HLS_msn=6&_HLS_part=0')
    expect(stage.asked(playlist)).toBe(1)
  })

  it('a delta is made here, and a position too far ahead refused', async () => {
    await using stage = await Stage.start()
    stage.broadcast.closeSegments()
    stage.broadcast.addSegments(15)
    const { rig } = stage
    await (await rig.view(protocol, playlist)).text()
    const delta = await rig.view(protocol, `${playlist}?_HLS_skip=YES`)
    const written = liveMediaPlaylist(stage.broadcast, '720p', { skip: 'YES' })!
    expect(written).toContain('#EXT-X-SKIP')
    expect(delta.headers['content-length']).toBe(String(written.length))
    expect([statusOf(delta), await delta.text()]).toEqual(['pop-1; hit; ttl=0', written])
    const refused = await rig.view(protocol, `${playlist}?_HLS_msn=99`)
    expect([refused.status, JSON.parse(await refused.text()).error]).toEqual([400, 'too-far'])
    expect(rig.origin.requests.filter((url) => url.startsWith(playlist))).toEqual([playlist])
  })

  it('a version a little too old is a hit with a time to live below zero', async () => {
    await using stage = await Stage.start()
    const { rig } = stage
    await (await rig.view(protocol, playlist)).text()
    await rig.clock.advance(300)
    const old = await rig.view(protocol, playlist)
    expect(statusOf(old)).toBe('pop-1; hit; ttl=-1')
    await until('asked again', () => stage.asked(playlist) === 2)
  })

  it('what a playlist has announced is under way before a viewer asks for it', async () => {
    await using stage = await Stage.start()
    const { rig } = stage
    const held = rig.view(protocol, next)
    const wait = await stage.holds('_HLS_msn=5&_HLS_part=1')
    const hint = await stage.holds('/p18.m4s')
    await until('fetched', async () => (await rig.metric('cache_objects')) === 2)
    for (const file of ['init.mp4', 'p17.m4s']) {
      const media = await rig.view(protocol, `${folder}/${file}`)
      expect(statusOf(media)).toMatch(/^pop-1; hit; ttl=\d+$/)
      expect(await media.text()).toBe(`media of ${folder}/${file}`)
    }
    const part = rig.view(protocol, `${folder}/p18.m4s`)
    await stage.followers(2)
    hint.head(200, immutable).end('the part')
    expect(statusOf(await part)).toBe('pop-1; fwd=miss; collapsed')
    expect(await (await part).text()).toBe('the part')
    stage.broadcast.addParts(1)
    wait.head(200).end(stage.text)
    await (await held).text()
    await stage.holds('/p19.m4s')
    await rig.clock.advance(8_001)
    // Nobody has asked for it, nor for anything else since.
    await Promise.all(stage.held.slice(2).map(({ abandoned }) => abandoned))
    expect(await rig.metric('cache_live_waits')).toBe(0)
    expect(await rig.metric('cache_prefetches_total', { result: 'used' })).toBe(3)
    expect(await rig.metric('cache_prefetches_total', { result: 'failed' })).toBe(1)
  })
})

describe('a cache that reads live playlists', () => {
  it('passes on what it cannot read, each URL by itself', async () => {
    await using rig = await CacheRig.start({ liveAware: true })
    rig.origin.respond = (exchange) => exchange.head(200).end(`of ${exchange.req.url}`)
    for (const path of [playlist, next, next]) {
      expect(await (await rig.view('h1', path)).text()).toBe(`of ${path}`)
    }
    expect(rig.origin.requests).toEqual([playlist, next])
    await rig.clock.advance(400)
    expect(await (await rig.view('h1', playlist)).text()).toBe(`of ${playlist}`)
    expect(rig.origin.requests).toEqual([playlist, next, playlist])
  })

  it('keeps a 404 for a moment, and finds the stream when it begins', async () => {
    await using stage = await Stage.start()
    const { rig } = stage
    const begins = rig.origin.respond!
    rig.origin.respond = (exchange) => exchange.head(404).end('{"error":"offline"}')
    for (let viewer = 0; viewer < 3; viewer++) {
      const missing = await rig.view('h1', playlist)
      expect([missing.status, await missing.text()]).toEqual([404, '{"error":"offline"}'])
    }
    expect(rig.origin.requests).toHaveLength(1)
    await rig.clock.advance(250)
    rig.origin.respond = begins
    expect(await (await rig.view('h1', playlist)).text()).toBe(stage.text)
  })

  it('forgets a playlist that is purged', async () => {
    await using stage = await Stage.start()
    const { rig } = stage
    await (await rig.view('h1', playlist)).text()
    await until('fetched', async () => (await rig.metric('cache_objects')) === 2)
    expect(rig.cache.purge('/live/demo/')).toBe(3)
    const again = await rig.view('h1', playlist)
    expect(statusOf(again)).toBe('pop-1; fwd=miss; stored')
  })

  it('ends those it holds when it ends', async () => {
    await using stage = await Stage.start()
    const held = stage.rig.view('h1', next)
    await stage.holds('_HLS_msn=5&_HLS_part=1')
    await stage.rig.cache[Symbol.asyncDispose]()
    await expect(held).rejects.toThrow()
    expect(await stage.rig.metric('cache_live_playlists')).toBe(0)
  })
})
