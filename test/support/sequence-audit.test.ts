// The audit against an edge that is scripted: it is silent about a stream that is right, and names each thing that is not.
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, test } from 'vitest'
import { writeFragment } from '../../media/mp4/fragment-writer.ts'
import type { MediaSample } from '../../media/mp4/track.ts'
import { initSection } from './fmp4.ts'
import { frameOffset, withNumber } from './numbered-media.ts'
import { digestOf, type SentFrame } from './numbered-publisher.ts'
import { SequenceAudit, type SequenceReport } from './sequence-audit.ts'
import { until } from './until.ts'

const framesPerSegment = 4
const payload = Buffer.from('17010000000000000265427f', 'hex')

function frame(number: number): Buffer {
  const message = withNumber({ kind: 'video', timestampMs: 0, payload }, number)
  return message.payload.subarray(frameOffset(message))
}

const sent: SentFrame[] = Array.from({ length: 80 }, (_, number) => ({
  kind: 'video',
  number,
  digest: digestOf(frame(number)),
  sentAtMs: number,
}))

function segment(...numbers: number[]): Buffer {
  const samples = numbers.map((number): MediaSample => {
    return { dts: number * 3_000, cts: 0, duration: 3_000, isKeyframe: true, data: frame(number) }
  })
  return writeFragment({ sequenceNumber: 1, trackId: 1, samples }).bytes
}

interface Line {
  uri: string
  bytes: Buffer
  isGap?: boolean
  isDiscontinuity?: boolean
}

/** What an edge lists and serves; tests change it while it is watched. */
class ScriptedEdge implements AsyncDisposable {
  readonly lines: Line[] = []
  firstNumber = 5
  /** The playlist of a rung, offered while it is there. */
  rung: string | undefined
  polls = 0
  readonly served = new Set<string>()
  readonly #server = createServer((req, res) => {
    const name = req.url!.slice('/live/demo/'.length)
    const found = this.#body(name)
    res.writeHead(found ? 200 : 404).end(found, () => this.served.add(name))
  })

  static async start(): Promise<ScriptedEdge> {
    const edge = new ScriptedEdge()
    edge.#server.listen(0, '127.0.0.1')
    await once(edge.#server, 'listening')
    for (let i = 0; i < 3; i++) edge.grow()
    return edge
  }

  get media(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/live/demo`
  }

  grow(change: Partial<Line> = {}): void {
    const index = this.lines.length
    const numbers = Array.from({ length: framesPerSegment }, (_, i) => index * framesPerSegment + i)
    this.lines.push({ uri: `1-0/v/${index}.m4s`, bytes: segment(...numbers), ...change })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections()
    this.#server.close()
  }

  #body(name: string): string | Buffer | undefined {
    if (name === 'index.m3u8') {
      this.polls++
      const names = this.rung === undefined ? ['v'] : ['v', 'rung']
      return `#EXTM3U\n${names.map((it) => `#EXT-X-STREAM-INF:BANDWIDTH=1\n${it}.m3u8\n`).join('')}`
    }
    if (name === 'init.mp4') return initSection()
    if (name === 'rung.m3u8') return this.rung
    if (name === 'v.m3u8') return this.playlist()
    return this.lines.find(({ uri }) => uri === name)?.bytes
  }

  playlist(): string {
    const lines = this.lines.map(({ uri, isGap, isDiscontinuity }) => {
      return `${isDiscontinuity ? '#EXT-X-DISCONTINUITY\n' : ''}#EXT-X-MAP:URI="init.mp4"\n${isGap ? '#EXT-X-GAP\n' : ''}#EXTINF:1,\n${uri}\n`
    })
    return `#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:${this.firstNumber}\n${lines.join('')}`
  }
}

async function reportOf(script: (edge: ScriptedEdge) => void): Promise<SequenceReport> {
  await using edge = await ScriptedEdge.start()
  await using audit = await SequenceAudit.start({ media: edge.media, ca: '' })
  // What is changed from here on had been fetched.
  await until('all media', () => edge.lines.every(({ uri }) => edge.served.has(uri)))
  script(edge)
  const last = edge.firstNumber + edge.lines.length - 1
  await until('the last segment', () => audit.lastNumber >= last)
  return await audit.stop(sent)
}

test('a stream that is right has no fault and nothing lost', async () => {
  const report = await reportOf((edge) => {
    edge.grow()
    edge.grow()
  })
  expect(report.faults).toEqual([])
  expect(report.video).toEqual({ lost: [], doubled: [], disordered: [], changed: [], listed: 20 })
  expect(report.playlists).toEqual([
    {
      name: 'v.m3u8',
      firstNumber: 5,
      lastNumber: 9,
      segments: 5,
      gaps: 0,
      discontinuities: 0,
      skipped: [],
      takes: ['1-0'],
    },
  ])
})

test('lost and doubled frames, gaps, discontinuities and takes are counted', async () => {
  const { video, playlists } = await reportOf((edge) => {
    edge.grow({ bytes: segment(12, 13, 15) })
    edge.grow({ isGap: true })
    edge.grow({ uri: '2-0/v/5.m4s', isDiscontinuity: true, bytes: segment(15, 20, 21) })
  })
  expect(video).toMatchObject({ lost: [14, 16, 17, 18, 19], doubled: [15] })
  expect(playlists).toMatchObject([{ gaps: 1, discontinuities: 1, takes: ['1-0', '2-0'] }])
})

test('what was before an audit is left to the one before', async () => {
  await using edge = await ScriptedEdge.start()
  edge.grow({ isDiscontinuity: true })
  edge.grow()
  await using audit = await SequenceAudit.start({ media: edge.media, ca: '', after: 8 })
  const { playlists, video } = await audit.stop(sent)
  expect(playlists).toMatchObject([{ firstNumber: 9, segments: 1, discontinuities: 0 }])
  expect(video).toMatchObject({ lost: [], listed: framesPerSegment })
})

test('numbers that were skipped are named', async () => {
  const { playlists } = await reportOf((edge) => {
    edge.firstNumber += 2
    edge.lines.splice(0, edge.lines.length - 1)
    edge.firstNumber += 3
  })
  expect(playlists[0]?.skipped).toEqual([8, 9])
})

test('what is listed and gone, and a number with another name, are faults', async () => {
  const { faults } = await reportOf((edge) => {
    edge.lines[0] = { uri: 'other/v/0.m4s', bytes: segment(0) }
    edge.lines[1] = { uri: '1-0/v/1.m4s', bytes: segment(9) }
    edge.grow()
  })
  expect(faults).toContain('v.m3u8: 5 was 1-0/v/0.m4s and is other/v/0.m4s')
  expect(faults).toContain('1-0/v/1.m4s has other bytes than before')
})

test('a rung that is given up holds nothing back', async () => {
  await using edge = await ScriptedEdge.start()
  edge.rung = edge.playlist()
  await using audit = await SequenceAudit.start({ media: edge.media, ca: '' })
  edge.grow()
  const polls = edge.polls + 2
  await until('two more looks', () => edge.polls >= polls)
  expect(audit.lastNumber).toBe(7)
  edge.rung = undefined
  await until('what the source lists', () => audit.lastNumber === 8)
})

test('media from after a moment counts once every playlist lists its segment', async () => {
  await using edge = await ScriptedEdge.start()
  await using audit = await SequenceAudit.start({ media: edge.media, ca: '' })
  const sinceMs = 13
  expect(await audit.segmentWithMediaSince(sinceMs, sent)).toBeUndefined()
  const beforeMs = performance.now()
  edge.grow()
  const listedAtMs = await until('it', () => audit.segmentWithMediaSince(sinceMs, sent))
  expect(listedAtMs).toBeGreaterThan(beforeMs)
  expect(listedAtMs).toBeLessThan(performance.now())
})
