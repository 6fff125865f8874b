import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { createClusterAuth } from '../../../common/cluster/cluster-auth.ts'
import { silentLogger } from '../../../common/log.ts'
import { BroadcastFolder } from '../../../origin/archive/broadcast-folder.ts'
import { FeedServer } from '../../../origin/transcoder/feed-server.ts'
import { PlaybackServer } from '../../../origin/transcoder/playback-server.ts'
import { FakeClock } from '../../support/fake-clock.ts'
import { ScriptedBroadcast } from '../../support/scripted-broadcast.ts'
import { broadcast, segmentLog } from '../../support/segment-logs.ts'

const auth = createClusterAuth('ncs_for_tests_only_0123456789abcdef')
const take = `${broadcast.broadcastTag}-1`
const bytes = Buffer.from('0123456789')

let dir: string
let server: PlaybackServer
let served: string[]

async function start(trustedNetworks: string[]): Promise<void> {
  dir = await mkdtemp(join(tmpdir(), 'nearcast-playback-'))
  served = []
  const log = segmentLog([{ rows: 3, startSeconds: 10 }])
  const folder = new BroadcastFolder(join(dir, broadcast.broadcastId), log)
  const rendition = folder.renditionPath(log.takes[0]!, '720p')
  await mkdir(rendition, { recursive: true })
  await writeFile(join(rendition, 'init.mp4'), bytes)
  await writeFile(join(rendition, '1.m4s'), bytes)
  const onAir = new ScriptedBroadcast()
  onAir.beginTake()
  onAir.addSegments(3)
  const clock = new FakeClock(Date.UTC(2026, 0, 1))
  const stream = { broadcast: onAir, file: () => undefined, epoch: 1 }
  const live = (liveId: string) => (liveId === 'demo' ? stream : undefined)
  server = new PlaybackServer({
    host: '127.0.0.1',
    port: 0,
    trustedNetworks,
    auth,
    manifest: { targetDurationSeconds: 4 },
    clock,
    log: silentLogger,
    metrics: { served: (kind, status, size) => served.push(`${kind} ${status} ${size}`) },
    progress: { serve: (answer) => answer.end() },
    resumes: { receive: async () => false },
    live: (liveId) => (liveId === 'moved' ? 'elsewhere' : live(liveId)),
    feeds: new FeedServer({ instance: broadcast.broadcastId, live, clock, sent: () => {} }),
    replayFolder: async (id) => (id === broadcast.broadcastId ? folder : undefined),
  })
  await server.start()
}

afterEach(async () => {
  await server[Symbol.asyncDispose]()
  await rm(dir, { recursive: true, force: true })
})

const get = (path: string, init?: RequestInit) =>
  fetch(`http://127.0.0.1:${server.port}${path}`, init)

describe('to a trusted network', () => {
  beforeEach(() => start(['127.0.0.0/8']))

  test.each([
    ['/live/demo/index.m3u8', 'application/vnd.apple.mpegurl', 'public, max-age=1'],
    ['/live/demo/720p.m3u8', 'application/vnd.apple.mpegurl', 'public, max-age=1'],
    ['/live/demo/manifest.mpd', 'application/dash+xml', 'public, max-age=1'],
    ['/live/demo/timeline.mpd', 'application/dash+xml', 'public, max-age=1'],
    [`/live/demo/${take}/720p/p1.m4s`, 'video/iso.segment', 'public, max-age=31536000, immutable'],
    [`/live/demo/${take}/720p/init.mp4`, 'video/mp4', 'public, max-age=31536000, immutable'],
    [`/live/demo/${take}/720p/1.m4s`, 'video/iso.segment', 'public, max-age=31536000, immutable'],
    [
      `/replay/${broadcast.broadcastId}/index.m3u8`,
      'application/vnd.apple.mpegurl',
      'public, max-age=1',
    ],
    [
      `/replay/${broadcast.broadcastId}/${take}/720p/1.m4s`,
      'video/iso.segment',
      'public, max-age=31536000, immutable',
    ],
    ['/time', 'text/plain; charset=utf-8', 'no-store'],
  ])('%s has its type and its freshness', async (path, type, cacheControl) => {
    const answer = await get(path)
    expect(answer.status).toBe(200)
    expect(answer.headers.get('content-type')).toBe(type)
    expect(answer.headers.get('cache-control')).toBe(cacheControl)
    const body = Buffer.from(await answer.arrayBuffer())
    expect(answer.headers.get('content-length')).toBe(String(body.length))
    if (path.startsWith('/replay') && path.endsWith('.m4s')) expect(body).toEqual(bytes)
  })

  test.each([
    ['/live/nobody/index.m3u8', 404],
    ['/live/demo/1080.m3u8', 404],
    ['/live/demo/zzzzzzzz-9/720p/1.m4s', 404],
    [`/live/demo/${take}/480p/1.m4s`, 404],
    [`/live/demo/${take}/720p/99.m4s`, 404],
    [`/replay/${broadcast.broadcastId}/${take}/720p/p1.m4s`, 404],
    [`/replay/${broadcast.broadcastId}/${take}/720p/99.m4s`, 404],
    ['/replay/00000000-0000-0000-0000-000000000000/index.m3u8', 404],
    ['/etc/passwd', 404],
  ])('%s is %d with a sentence', async (path, status) => {
    const answer = await get(path)
    expect(answer.status).toBe(status)
    expect(answer.headers.get('cache-control')).toBe('max-age=0')
    expect(await answer.json()).toMatchObject({ message: expect.stringMatching(/\.$/) })
  })

  test('what is made elsewhere now is refused until that is known better', async () => {
    const answer = await get('/live/moved/index.m3u8')
    expect([answer.status, answer.headers.get('cache-control')]).toEqual([503, 'no-store'])
  })

  test('HEAD tells the size and sends nothing', async () => {
    const path = `/replay/${broadcast.broadcastId}/${take}/720p/1.m4s`
    const answer = await get(path, { method: 'HEAD' })
    expect(answer.headers.get('content-length')).toBe('10')
    expect(await answer.text()).toBe('')
    expect(served).toEqual(['segment 200 0'])
  })

  test('only reading is answered', async () => {
    expect((await get('/live/demo/index.m3u8', { method: 'POST' })).status).toBe(405)
  })
})

describe('to anybody else', () => {
  beforeEach(() => start(['10.0.0.0/8']))

  test('nothing is served', async () => {
    expect((await get('/live/demo/index.m3u8')).status).toBe(403)
    const forged = { authorization: 'Bearer eyJhbGciOiJub25lIn0.e30.' }
    expect((await get('/live/demo/index.m3u8', { headers: forged })).status).toBe(403)
  })

  test('the token of a node opens it', async () => {
    const token = await auth.issueNodeToken('gw-1', 'gateway')
    const headers = { authorization: `Bearer ${token}` }
    expect((await get('/live/demo/index.m3u8', { headers })).status).toBe(200)
  })
})
