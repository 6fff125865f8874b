// The checker against an edge that is scripted: which rendition reports it misses, and which nobody owes.
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, test } from 'vitest'
import { LiveChecker } from './live-checker.ts'
import { until } from './until.ts'

interface Listed {
  take: string
  isGap?: boolean
}

/** What an edge lists and reports of two sizes and sound; tests change it while it is watched. */
class ScriptedEdge implements AsyncDisposable {
  readonly segments: Record<string, Listed[]> = { '480p': [], '360p': [], audio: [] }
  /** Which renditions each playlist reports, but for its own. */
  reported = ['480p', '360p', 'audio']
  /** By name, how often the playlist was answered as it is. */
  readonly #answered = new Map<string, number>()
  /** What `index.m3u8` waits for, and whether anybody does. */
  #held: PromiseWithResolvers<void> | undefined
  #isAwaited = false
  readonly #server = createServer(async (req, res) => {
    const name = req.url!.slice('/live/demo/'.length)
    if (name === 'index.m3u8' && this.#held) {
      this.#isAwaited = true
      await this.#held.promise
    }
    const text = this.#text(name)
    res.writeHead(text ? 200 : 404).end(text, () => {
      this.#answered.set(name, (this.#answered.get(name) ?? 0) + 1)
    })
  })

  static async start(): Promise<ScriptedEdge> {
    const edge = new ScriptedEdge()
    edge.#server.listen(0, '127.0.0.1')
    await once(edge.#server, 'listening')
    return edge
  }

  get media(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/live/demo`
  }

  list(listed: Record<string, Listed>): void {
    for (const [name, segment] of Object.entries(listed)) this.segments[name]!.push(segment)
  }

  /** From now on all is within one poll of the presentation. */
  async hold(): Promise<void> {
    this.#held = Promise.withResolvers()
    await until('a poll', () => this.#isAwaited)
  }

  /** Resolves when the presentation was read anew. */
  async release(): Promise<void> {
    this.#held?.resolve()
    this.#held = undefined
    this.#isAwaited = false
    await this.#read(['index.m3u8'])
  }

  /** Resolves when both clients of each playlist have read what is listed. */
  async seen(): Promise<void> {
    await this.#read(Object.keys(this.segments).map((it) => `${it}.m3u8`))
  }

  async #read(names: readonly string[]): Promise<void> {
    this.#answered.clear()
    await until(names.join(', '), () => names.every((it) => (this.#answered.get(it) ?? 0) >= 4))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections()
    this.#server.close()
    await once(this.#server, 'close')
  }

  #text(name: string): string | undefined {
    if (name === 'index.m3u8') {
      return [
        '#EXTM3U',
        '#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="Original",URI="audio.m3u8"',
        ...['480p', '360p'].flatMap((it) => ['#EXT-X-STREAM-INF:AUDIO="a"', `${it}.m3u8`]),
        '',
      ].join('\n')
    }
    const own = name.replace('.m3u8', '')
    const segments = this.segments[own]
    if (!segments) return undefined
    return [
      '#EXTM3U',
      '#EXT-X-TARGETDURATION:2',
      '#EXT-X-PART-INF:PART-TARGET=1',
      '#EXT-X-MEDIA-SEQUENCE:1',
      ...segments.flatMap(({ take, isGap }, at) => [
        ...(isGap ? ['#EXT-X-GAP'] : []),
        '#EXTINF:2,',
        `${take}/${own}/${at + 1}.m4s`,
      ]),
      ...this.reported
        .filter((it) => it !== own)
        .map((it) => `#EXT-X-RENDITION-REPORT:URI="${it}.m3u8",LAST-MSN=${segments.length}`),
      '',
    ].join('\n')
  }
}

/** What it says of reports that are not there. */
const missed = ({ faults }: LiveChecker) =>
  faults.filter(({ rule }) => rule.startsWith('does not report')).map((it) => it.where)

const all = (take: string) => ({ '480p': { take }, '360p': { take }, audio: { take } })

async function watched(): Promise<{ edge: ScriptedEdge; checker: LiveChecker }> {
  const edge = await ScriptedEdge.start()
  edge.list(all('a'))
  const checker = await LiveChecker.start({ media: edge.media, ca: '', pollMs: 20 })
  await until('all to be followed', () => checker.report.playlists.length === 3)
  await edge.seen()
  await edge.hold()
  return { edge, checker }
}

test('a size that leaves and is back before the presentation is read again was owed no report', async () => {
  const parts = await watched()
  await using edge = parts.edge
  await using checker = parts.checker
  // What is reported may be of a take that is not listed yet.
  edge.reported = ['360p', 'audio']
  await edge.seen()
  edge.list({ ...all('b'), '480p': { take: 'a', isGap: true } })
  await edge.seen()
  edge.list(all('c'))
  await edge.seen()
  edge.reported = ['480p', '360p', 'audio']
  await edge.seen()
  await edge.release()
  expect(missed(checker)).toEqual([])
})

test('a size that is made all the while is owed one', async () => {
  const parts = await watched()
  await using edge = parts.edge
  await using checker = parts.checker
  edge.list(all('a'))
  edge.reported = ['360p', 'audio']
  await edge.seen()
  edge.reported = ['480p', '360p', 'audio']
  await edge.seen()
  await edge.release()
  expect(missed(checker).sort()).toEqual(['360p.m3u8', 'audio.m3u8'])
})
