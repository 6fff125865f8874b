// Two caches and the port between them, in one thread, on one clock that the test turns.
import { MessageChannel } from 'node:worker_threads'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type ObjectTarget, targetOf } from '../../../common/cache/cache-key.ts'
import type { CacheObject } from '../../../common/cache/cache-object.ts'
import { FillCache } from '../../../common/cache/fill-cache.ts'
import { classify } from '../../../common/cache/media-path.ts'
import type { Upstream, UpstreamSink } from '../../../common/cache/upstream.ts'
import { silentLogger } from '../../../common/log.ts'
import { Metrics } from '../../../common/metrics.ts'
import { SharedMemory } from '../../../edge/worker/shared-memory.ts'
import { ThreadLink } from '../../../edge/worker/thread-link.ts'
import { ThreadPeers } from '../../../edge/worker/thread-peers.ts'
import { FakeClock } from '../../support/fake-clock.ts'
import { until } from '../../support/until.ts'

const playlist = '/live/demo/720p.m3u8'
const segment = '/live/demo/abcdef12-1/720p/1.m4s'

let clock: FakeClock
/** What upstream is asked for and has not been taken by the test, and how often it was asked at all. */
let waiting: { path: string; sink: UpstreamSink }[]
let requests: string[]
let cancelled: string[]
let sides: { cache: FillCache; peers: ThreadPeers; memory: SharedMemory; link: ThreadLink }[]
let collections: number

beforeEach(() => {
  clock = new FakeClock()
  waiting = []
  requests = []
  cancelled = []
  collections = 0
  const upstream: Upstream = {
    fetch({ path }, sink) {
      requests.push(path)
      waiting.push({ path, sink })
      return { cancel: () => void cancelled.push(path) }
    },
  }
  const { port1, port2 } = new MessageChannel()
  sides = [port1, port2].map((port, index) => {
    const memory = new SharedMemory(1_000_000, () => collections++)
    const peers = new ThreadPeers(index, memory)
    const cache = new FillCache({
      name: 'pop-1',
      maxBytes: 500_000,
      maxObjectBytes: 400_000,
      waitMs: 12_000,
      clock,
      log: silentLogger,
      metrics: new Metrics('edge', 'pop-1', '0'),
      resolve: () => ({ origins: ['http://origin'] }),
      upstream,
      threads: peers,
    })
    const link: ThreadLink = new ThreadLink({
      port,
      cache,
      onMemory: (bytes) => memory.taken(bytes),
      onLost: () => peers.set(1 - index, undefined),
    })
    peers.set(1 - index, link)
    return { cache, peers, memory, link }
  })
})

afterEach(async () => {
  for (const { cache, peers } of sides) {
    peers[Symbol.dispose]()
    await cache[Symbol.asyncDispose]()
  }
})

function target(url: string): ObjectTarget {
  const [path = '', query = ''] = url.split('?')
  return targetOf(classify(path)!, path, query) as ObjectTarget
}

/** The cache that fills it, and the one that mirrors it. */
function rolesFor(url: string) {
  const owner = sides.findIndex(({ peers }) => peers.ownerOf(target(url)) === undefined)
  return { owner: sides[owner]!, other: sides[1 - owner]! }
}

function open(side: { cache: FillCache }, url: string) {
  const opened = side.cache.open(target(url))!
  return { opened, object: opened.object }
}

const settled = (object: CacheObject) =>
  until('the object is settled', () => object.state === 'complete' || object.state === 'broken')

/** The next question for it. */
function asked(path: string): Promise<UpstreamSink> {
  return until(`upstream is asked for ${path}`, () => {
    const at = waiting.findIndex((one) => one.path === path)
    return at < 0 ? undefined : waiting.splice(at, 1)[0]!.sink
  })
}

async function fill(side: { cache: FillCache }, url: string, body = 'media') {
  const { object, opened } = open(side, url)
  const sink = await asked(url)
  sink.head(200, { 'content-length': String(body.length) })
  sink.data(Buffer.from(body))
  sink.end()
  await settled(object)
  return { object, opened }
}

describe('an object that the other thread fills', () => {
  test('has one owner, the same in the eyes of both, with all else of its rendition', () => {
    for (const rendition of ['1080p', '720p', '480p', 'audio']) {
      const urls = [
        `/live/demo/${rendition}.m3u8`,
        `/live/demo/${rendition}.m3u8?_HLS_msn=4&_HLS_part=1`,
        `/live/demo/abcdef12-1/${rendition}/p17.m4s`,
      ]
      const owners = urls.map((url) =>
        sides.map(({ peers }) => peers.ownerOf(target(url)) === undefined),
      )
      for (const owner of owners) expect(owner).toEqual(owners[0])
      expect(owners[0]!.filter((isOwner) => isOwner)).toHaveLength(1)
    }
  })

  test('is in the same memory', async () => {
    const { owner, other } = rolesFor(segment)
    const { object: mirror } = await fill(other, segment)
    const { object, opened } = open(owner, segment)
    expect(opened.outcome).toBe('hit')
    expect(mirror.memory.buffer).toBeInstanceOf(SharedArrayBuffer)
    object.memory[0] = 77
    expect(mirror.slice(0, 1)[0]).toBe(77)
    expect(requests).toHaveLength(1)
  })

  test('is fresh for no longer than there', async () => {
    const { owner, other } = rolesFor(playlist)
    await fill(owner, playlist)
    await clock.advance(300)
    const { object, opened } = open(other, playlist)
    await settled(object)
    expect(opened.outcome).toBe('hit')
    expect(opened.freshMs).toBe(100)
    expect(open(other, playlist).opened).toMatchObject({ outcome: 'hit', freshMs: 100 })
    await clock.advance(100)
    open(other, playlist)
    await asked(playlist)
  })

  test('is outdated by a later one that was held back', async () => {
    const { owner, other } = rolesFor(playlist)
    await fill(other, playlist)
    expect(open(other, playlist).opened.outcome).toBe('hit')
    await fill(owner, `${playlist}?_HLS_msn=9`)
    await until('it is not fresh here any more', () => {
      const { opened } = open(other, playlist)
      return opened.outcome !== 'hit'
    })
  })

  test('leaves when it leaves there, for whatever reason', async () => {
    const { owner, other } = rolesFor(segment)
    await fill(other, segment)
    owner.cache.purge('/live/demo/')
    await until('it is purged here', () => open(other, segment).opened.outcome !== 'hit')
    await fill(other, '/live/demo/abcdef12-1/720p/2.m4s')
    // More than all that is kept.
    for (const number of [3, 4]) {
      await fill(owner, `/live/demo/abcdef12-1/720p/${number}.m4s`, 'x'.repeat(300_000))
    }
    await until('it is evicted here', () => {
      const { opened } = open(other, '/live/demo/abcdef12-1/720p/2.m4s')
      return opened.outcome !== 'hit'
    })
  })

  test('that is held back is let go of when its last reader here leaves', async () => {
    const key = `${playlist}?_HLS_msn=9`
    const { owner, other } = rolesFor(key)
    const leaves = [other, other, owner].map((side) => open(side, key).object.follow(() => {}))
    await asked(key)
    expect(requests).toEqual([key])
    await until('the owner knows of both', () => open(owner, key).object.readers === 2)
    leaves[2]!()
    leaves[0]!()
    expect(cancelled).toEqual([])
    leaves[1]!()
    await until('upstream is let go', () => cancelled.length === 1)
  })

  test('answers stale where that one does', async () => {
    const { other } = rolesFor(playlist)
    await fill(other, playlist, 'old')
    await clock.advance(1_000)
    const { object, opened } = open(other, playlist)
    const sink = await asked(playlist)
    sink.fail('unreachable', 'gone')
    await settled(object)
    expect(opened.outcome).toBe('stale')
    expect(object.substitute?.object.slice(0, 3).toString()).toBe('old')
  })

  test('is refused where too much is being filled there', async () => {
    const { owner, other } = rolesFor(segment)
    for (let i = 0; i < 4_096; i++) open(owner, `/live/demo/abcdef12-1/720p/${10 + i}.m4s`)
    const { object } = open(other, segment)
    await settled(object)
    expect(object.head?.status).toBe(503)
  })

  test.each([
    ['goes on here when that thread dies, if it never changes', segment, 'complete'],
    ['ends broken when that thread dies, if it may change', playlist, 'broken'],
  ])('%s', async (_name, url, end) => {
    const { owner, other } = rolesFor(url)
    const { object } = open(other, url)
    const first = await asked(url)
    first.head(200, { 'content-length': '10' })
    first.data(Buffer.from('01234'))
    await until('the first half is here', () => object.size === 5)
    owner.link[Symbol.dispose]()
    if (end === 'complete') {
      const second = await asked(url)
      second.head(200, { 'content-length': '10' })
      second.data(Buffer.from('012'))
      expect(object.size).toBe(5)
      second.data(Buffer.from('3456789'))
      second.end()
    }
    await settled(object)
    expect(object.state).toBe(end)
    if (end !== 'complete') return
    expect(object.slice(0, 10).toString()).toBe('0123456789')
    expect(open(other, url).opened.outcome).toBe('hit')
    expect(requests).toHaveLength(2)
  })

  test('is counted here once its owner is dead, and leaves when there is no room', async () => {
    const { owner, other } = rolesFor(segment)
    const urls = [1, 2, 3].map((number) => `/live/demo/abcdef12-1/720p/${number}.m4s`)
    await fill(other, urls[0]!, 'x'.repeat(300_000))
    await fill(other, urls[1]!)
    expect(other.cache.counts(1)).toMatchObject({ objects: 0, bytes: 2 * 1_024 })
    owner.link[Symbol.dispose]()
    await until('it is taken over', () => other.cache.counts(1).objects === 2)
    expect(other.cache.counts(1).bytes).toBe(300_000 + 'media'.length + 2 * 1_024)
    expect(open(other, urls[0]!).opened.outcome).toBe('hit')
    await fill(other, urls[2]!, 'x'.repeat(300_000))
    const outcomes = [urls[2]!, urls[0]!].map((url) => open(other, url).opened.outcome)
    expect(outcomes).toEqual(['hit', 'miss'])
  })

  test('that is another one at its next owner ends broken', async () => {
    const { owner, other } = rolesFor(segment)
    const { object } = open(other, segment)
    const first = await asked(segment)
    first.head(200, { 'content-length': '10' })
    first.data(Buffer.from('01234'))
    await until('the first half is here', () => object.size === 5)
    owner.link[Symbol.dispose]()
    const second = await asked(segment)
    second.head(200, { 'content-length': '11' })
    await settled(object)
    expect(object.state).toBe('broken')
  })

  test('counts towards collections at both, and towards the bytes of its owner', async () => {
    const { other } = rolesFor(segment)
    for (let i = 0; i < 6; i++) {
      await fill(other, `/live/demo/abcdef12-1/720p/${i}.m4s`, 'x'.repeat(200_000))
    }
    // 1.2 MB taken by each of the two.
    expect(collections).toBe(2)
  })
})
