// Viewers whose edges ask a gateway that is not the stream's home: all kinds of clients at two POPs play on without a
// fault, each object goes over each way once, and the death of the home changes neither.
import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { digestOfKey } from '../../common/relay/stream-key.ts'
import { Ring } from '../../common/ring.ts'
import { freePort } from '../support/free-port.ts'
import { readLivePlaylist } from '../support/hls-text.ts'
import { view } from '../support/http-viewer.ts'
import { type CheckerReport, LiveChecker } from '../support/live-checker.ts'
import { nextOf } from '../support/live-view.ts'
import { NumberedPublisher } from '../support/numbered-publisher.ts'
import { type Asked, RequestTap } from '../support/request-tap.ts'
import { SequenceAudit, type SequenceReport } from '../support/sequence-audit.ts'
import { until } from '../support/until.ts'
import { WrittenCluster } from '../support/written-cluster.ts'

const host = '127.0.0.1'
const pops = ['pop-1', 'pop-2']
const ring = new Ring(['gw-1', 'gw-2'].map((id) => ({ id, weight: 1 })))

const stack = new AsyncDisposableStack()
const taps: Record<string, RequestTap> = {}
let cluster: WrittenCluster
let liveId: string
let publisher: NumberedPublisher
/** The gateway that relays the stream until it dies, and the one that the edges ask. */
let home: string
let asked: string
/** As it was when the home died. */
let before: { atHome: Asked[]; atOther: Asked[]; gateway: string }
/** An answer that was under way when the home died, and what the segment has become. */
let grown: { body: Buffer; end: string }
let whole: Buffer
let reports: CheckerReport[]
let sequence: SequenceReport

async function joinGateway(id: string): Promise<void> {
  const port = await freePort()
  const tap = stack.use(await RequestTap.start({ host, port }))
  taps[id] = tap
  await cluster.join('gateway', id, { publicUrl: tap.url, listen: { host, port } })
}

const joinEdge = (id: string) =>
  cluster.join('edge', id, {
    tls: { port: 0, localCa: { dir: cluster.file('ca') } },
    http: { port: 0 },
  })

/** A first publish goes where the hash of its key says, viewers go where that of the live id does. */
async function channelOfTwo(): Promise<{ liveId: string; streamKey: string }> {
  for (let number = 1; ; number++) {
    const liveId = `demo-${number}`
    const { streamKey } = await cluster.api<{ streamKey: string }>('POST', '/api/v1/channels', {
      liveId,
    })
    if (ring.place(digestOfKey(streamKey)) !== ring.place(liveId)) return { liveId, streamKey }
  }
}

const gatewayOf = async () =>
  (await cluster.api<{ gateway: { id: string } }>('GET', `/api/v1/streams/${liveId}`)).gateway.id

const mediaAt = (pop: string) => `${cluster.url(pop, 'https')}/live/${liveId}`

/** Of a segment that has begun, and is asked for as DASH does. */
async function openSegment() {
  const base = cluster.url('pop-2', 'http')
  const playlist = readLivePlaylist(await (await fetch(`${base}/live/${liveId}/180p.m3u8`)).text())
  const [take] = playlist.segments.findLast(({ uri }) => uri !== undefined)!.uri!.split('/')
  const path = `/live/${liveId}/${take}/180p/${nextOf(playlist).number}.m4s`
  const answer = await view('h1', base, path)
  await answer.bytes(1)
  return { answer, url: base + path }
}

beforeAll(async () => {
  cluster = stack.use(await WrittenCluster.start())
  const transcoder = { http: { host, port: 0 }, rtmp: { host, port: 0 } }
  await Promise.all([
    cluster.join('transcoder', 'tc-1', transcoder),
    joinGateway('gw-1'),
    joinGateway('gw-2'),
  ])
  await Promise.all(pops.map(joinEdge))
  const channel = await channelOfTwo()
  liveId = channel.liveId
  asked = ring.place(liveId)!
  home = ring.order(liveId)[1]!
  const ca = readFileSync(cluster.file('ca', 'ca.pem'))
  const servers = [cluster.url('pop-1', 'rtmps')]
  publisher = stack.use(
    await NumberedPublisher.start({ servers, streamKey: channel.streamKey, ca }),
  )
  const audit = stack.use(await SequenceAudit.start({ media: mediaAt('pop-2'), ca }))
  const checkers = await Promise.all(
    pops.map(async (pop) => {
      return stack.use(await LiveChecker.start({ media: mediaAt(pop), ca, sampleEvery: 1 }))
    }),
  )
  const segments = async (count: number) => {
    const last = audit.lastNumber
    await until(`${count} more segments`, () => audit.lastNumber >= last + count)
  }
  await segments(3)
  before = {
    gateway: await gatewayOf(),
    atHome: [...taps[home]!.asked],
    atOther: [...taps[asked]!.asked],
  }
  const growing = await openSegment()
  process.kill(cluster.pid(home), 'SIGKILL')
  const struckAtMs = performance.now()
  await until('media from after the death', () =>
    audit.segmentWithMediaSince(struckAtMs, publisher.sent),
  )
  await segments(1)
  grown = await growing.answer.rest()
  whole = Buffer.from(await (await fetch(growing.url)).arrayBuffer())
  reports = await Promise.all(checkers.map((checker) => checker.stop()))
  sequence = await audit.stop(publisher.sent)
}, 60_000)

afterAll(() => stack.disposeAsync())

test('no client at either POP has seen a rule broken', () => {
  for (const { faults, blockedReloads, mpds, media } of reports) {
    expect(faults).toEqual([])
    for (const count of [blockedReloads, mpds, ...Object.values(media)]) {
      expect(count).toBeGreaterThan(1)
    }
  }
})

test('each object, and each position that is waited for, is asked of each node once', () => {
  expect(before.gateway).toBe(home)
  const atHome = before.atHome.filter(isOnce)
  expect(atHome.every(({ by, isOfGateway }) => isOfGateway && by === asked)).toBe(true)
  expect(repeated(atHome)).toEqual([])
  const atOther = taps[asked]!.asked.filter(isOnce)
  expect(new Set(atOther.map(({ by }) => by))).toEqual(new Set(pops))
  expect(repeated(atOther)).toEqual([])
  const fromEdges = new Set(atOther.map(({ path }) => path))
  const kinds = [/init\.mp4$/, /\/p\d+\.m4s$/, /\/\d+\.m4s$/, /\.m3u8\?_HLS_msn=\d+&_HLS_part=\d+$/]
  for (const kind of kinds) {
    const paths = atHome.map(({ path }) => path).filter((path) => kind.test(path))
    expect(paths.length).toBeGreaterThan(0)
    expect(paths.every((path) => fromEdges.has(path))).toBe(true)
  }
})

test('a segment that was growing when the home died grows on to its end', () => {
  expect(grown.end).toBe('clean')
  expect(grown.body.equals(whole)).toBe(true)
})

test('the death of the home is nothing that a player could see', () => {
  const clean = { lost: [], doubled: [], disordered: [], changed: [] }
  expect(sequence.video).toMatchObject(clean)
  expect(sequence.audio).toMatchObject(clean)
  expect(sequence.faults).toEqual([])
  for (const { name, takes, discontinuities, gaps, skipped } of sequence.playlists) {
    const seen = { name, takes: takes.length, discontinuities, gaps, skipped }
    expect(seen).toEqual({ name, takes: 1, discontinuities: 0, gaps: 0, skipped: [] })
  }
  expect(publisher.disconnects).toBe(0)
})

/** What lives for a moment is asked for time and again. */
function isOnce({ path }: Asked): boolean {
  return path.startsWith('/live/') && !/\.(?:m3u8|mpd)$/.test(path)
}

function repeated(all: readonly Asked[]): string[] {
  const lines = all.map(({ by, path }) => `${by} ${path}`)
  return lines.filter((line, at) => lines.indexOf(line) !== at)
}
