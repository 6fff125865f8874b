// Watches a live stream at an edge as a viewer does, keeps every segment and part that was ever listed, and says
// afterwards what the publisher's frames became: which were lost, which came twice, which numbers were skipped
// or changed their bytes, and how long nothing new was listed.
//
//   index.m3u8 ─► each media playlist, polled ─► parts and segments, fetched as they are listed
//                                             └► the playlist whose samples have the publisher's numbers is judged
//
// Nothing is taken from logs or counters. What cannot be fetched although it is listed counts as a fault.
import { FragmentReader } from '../../media/mp4/fragment-reader.ts'
import { judgeSequence, type ListedFrame, type SequenceVerdict } from './frame-sequence.ts'
import { type LivePlaylist, type LiveSegment, readLivePlaylist } from './hls-text.ts'
import { type FrameKind, numberIn } from './numbered-media.ts'
import { digestOf, type SentFrame } from './numbered-publisher.ts'
import { TlsClient } from './tls-client.ts'
import { until } from './until.ts'

export interface SequenceAuditOptions {
  /** Folder of the manifests at an edge, without the last slash. */
  media: string
  ca: string | Buffer
  /** Segments up to this number are not looked at: they were another audit's. */
  after?: number
}

export interface PlaylistFacts {
  name: string
  firstNumber: number
  lastNumber: number
  segments: number
  gaps: number
  /** Behind the first segment that was seen. */
  discontinuities: number
  /** Numbers that were never listed between two that were. */
  skipped: number[]
  /** First path components of the URIs, in the order of playback. */
  takes: string[]
}

export interface SequenceReport {
  /** Sentences; empty where all is well. */
  faults: string[]
  playlists: PlaylistFacts[]
  video: SequenceVerdict
  audio: SequenceVerdict
}

interface SeenSegment {
  segment: LiveSegment
  listedAtMs: number
  bytes: Promise<Buffer | undefined> | undefined
  /** Read once, when somebody asks. */
  frames: Promise<ListedFrame[]> | undefined
}

interface SeenPlaylist {
  segments: Map<number, SeenSegment>
  parts: Map<string, Promise<Buffer | undefined>>
  /** When a segment or part was listed that had not been. */
  newsAtMs: number[]
  lastText: string
}

const pollMs = 150
const enoughFaults = 100

export class SequenceAudit implements AsyncDisposable {
  readonly #media: string
  readonly #after: number
  readonly #client: TlsClient
  readonly #stop = new AbortController()
  readonly #faults = new Set<string>()
  readonly #seen = new Map<string, SeenPlaylist>()
  /** Media playlists that the last multivariant playlist named. */
  #offered: readonly string[] = []
  readonly #inits = new Map<string, Promise<Buffer | undefined>>()
  #loop: Promise<void> | undefined

  private constructor({ media, ca, after = -1 }: SequenceAuditOptions) {
    this.#media = media
    this.#after = after
    this.#client = new TlsClient(ca)
  }

  /** Resolves when the first segments are listed. */
  static async start(options: SequenceAuditOptions): Promise<SequenceAudit> {
    const audit = new SequenceAudit(options)
    audit.#loop = audit.#watch()
    try {
      await until('segments in every playlist', () => {
        const all = [...audit.#seen.values()]
        return all.length > 0 && all.every(({ segments }) => segments.size > 0)
      })
    } catch (err) {
      await audit[Symbol.asyncDispose]()
      throw err
    }
    return audit
  }

  /** Highest number of a whole segment that every playlist lists which is offered. */
  get lastNumber(): number {
    const lasts = this.#offered.map((name) => {
      return Math.max(-1, ...(this.#seen.get(name)?.segments.keys() ?? []))
    })
    return lasts.length === 0 ? -1 : Math.min(...lasts)
  }

  /** The longest time since then in which some playlist listed nothing new. */
  longestSilenceMs(sinceMs: number): number {
    const silences = [...this.#seen.values()].map(({ newsAtMs }) => {
      const times = [sinceMs, ...newsAtMs.filter((atMs) => atMs > sinceMs), performance.now()]
      return Math.max(...times.slice(1).map((atMs, i) => atMs - times[i]!))
    })
    return Math.max(0, ...silences)
  }

  /**
   * When a whole segment with something sent at or after that time was listed in every playlist that is offered;
   * undefined while one lacks it. All are cut alike, so that the number tells which segment of a rung it is.
   */
  async segmentWithMediaSince(
    sinceMs: number,
    sent: readonly SentFrame[],
  ): Promise<number | undefined> {
    const first = sent.find((it) => it.kind === 'video' && it.sentAtMs >= sinceMs)
    if (!first) return undefined
    const frames: ListedFrame[] = []
    for (const name of this.#seen.keys()) frames.push(...(await this.#framesOf(name)))
    const found = frames.find((it) => it.kind === 'video' && it.number >= first.number)
    if (!found) return undefined
    const listed = this.#offered.map((name) => {
      const all = [...(this.#seen.get(name)?.segments.values() ?? [])]
      const next = all.filter(({ segment }) => !segment.isGap && segment.number >= found.segment)
      return Math.min(...next.map(({ listedAtMs }) => listedAtMs))
    })
    const lastMs = Math.max(...listed)
    return Number.isFinite(lastMs) ? lastMs : undefined
  }

  /** Stops watching, fetches once more all that is still listed, and judges. */
  async stop(sent: readonly SentFrame[]): Promise<SequenceReport> {
    this.#stop.abort()
    await this.#loop
    for (const seen of this.#seen.values()) await this.#fetchAgain(seen)
    for (const [name, seen] of this.#seen) await this.#compareParts(name, seen)
    const frames: ListedFrame[] = []
    for (const name of this.#seen.keys()) frames.push(...(await this.#framesOf(name)))
    const report: SequenceReport = {
      faults: [...this.#faults],
      playlists: [...this.#seen].map(([name, seen]) => factsOf(name, seen)),
      video: judgeSequence('video', sent, frames),
      audio: judgeSequence('audio', sent, frames),
    }
    this.#client.close()
    return report
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort()
    await this.#loop
    this.#client.close()
  }

  async #watch(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      const index = await this.#text('index.m3u8')
      const uris = index?.match(/^[\w-]+\.m3u8$|(?<=URI=")[\w-]+\.m3u8/gm)
      if (uris) this.#offered = [...new Set(uris)].filter((it) => !it.includes('-iframes'))
      const names = new Set([...this.#seen.keys(), ...this.#offered])
      await Promise.all([...names].map((name) => this.#look(name)))
      await new Promise((resolve) => setTimeout(resolve, pollMs))
    }
  }

  async #look(name: string): Promise<void> {
    const text = await this.#text(name)
    if (text === undefined) return
    const seen = this.#seen.get(name) ?? {
      segments: new Map(),
      parts: new Map(),
      newsAtMs: [],
      lastText: '',
    }
    this.#seen.set(name, seen)
    if (text === seen.lastText) return
    this.#compareNumbers(name, seen, readLivePlaylist(text))
    seen.lastText = text
  }

  #compareNumbers(name: string, seen: SeenPlaylist, playlist: LivePlaylist): void {
    const nowMs = performance.now()
    let isNews = false
    const last = playlist.segments.at(-1)?.number ?? -1
    const known = Math.max(-1, ...seen.segments.keys())
    if (last < known) this.#fault(`${name} ends at ${last} after it had listed ${known}`)
    for (const segment of playlist.segments) {
      if (segment.number <= this.#after) continue
      for (const { uri, isGap } of segment.parts) {
        if (isGap || seen.parts.has(uri)) continue
        isNews = true
        seen.parts.set(uri, this.#bytes(uri))
      }
      if (segment.uri === undefined) continue
      const before = seen.segments.get(segment.number)?.segment
      if (!before) {
        isNews = true
        // At once, as a player does: later the node that has it may be gone.
        if (segment.mapUri !== undefined && !segment.isGap) void this.#init(segment.mapUri)
        const bytes = segment.isGap ? undefined : this.#bytes(segment.uri)
        seen.segments.set(segment.number, { segment, listedAtMs: nowMs, bytes, frames: undefined })
      } else if (before.uri !== segment.uri || before.isGap !== segment.isGap) {
        this.#fault(`${name}: ${segment.number} was ${before.uri} and is ${segment.uri}`)
      }
    }
    if (isNews) seen.newsAtMs.push(nowMs)
  }

  /** What was listed must be there as long as it is listed, with the same bytes. */
  async #fetchAgain({ lastText, segments }: SeenPlaylist): Promise<void> {
    for (const { uri, number, isGap } of readLivePlaylist(lastText).segments) {
      if (uri === undefined || isGap || number <= this.#after) continue
      const [again, first] = [await this.#bytes(uri), await segments.get(number)?.bytes]
      if (again && first && !again.equals(first)) this.#fault(`${uri} has other bytes than before`)
    }
  }

  async #compareParts(name: string, { segments, parts }: SeenPlaylist): Promise<void> {
    for (const { segment, bytes } of segments.values()) {
      const whole = await bytes
      const own = await Promise.all(segment.parts.map(({ uri }) => parts.get(uri)))
      if (!whole || own.length === 0 || own.some((part) => part === undefined)) continue
      const joined = Buffer.concat(own.map((part) => part!))
      if (!whole.equals(joined)) {
        this.#fault(`${name}: ${segment.uri} is not its parts, one after the other`)
      }
    }
  }

  async #framesOf(name: string): Promise<ListedFrame[]> {
    const seen = this.#seen.get(name)
    if (!seen) return []
    const all: ListedFrame[] = []
    for (const it of inOrder(seen)) {
      it.frames ??= this.#readFrames(it)
      all.push(...(await it.frames))
    }
    return all
  }

  async #readFrames({ segment, bytes }: SeenSegment): Promise<ListedFrame[]> {
    const body = await bytes
    const init = segment.mapUri === undefined ? undefined : await this.#init(segment.mapUri)
    return body && init ? this.#numbersIn(segment, init, body) : []
  }

  #numbersIn(segment: LiveSegment, init: Buffer, body: Buffer): ListedFrame[] {
    const read = new FragmentReader().push(Buffer.concat([init, body]))
    if ('fault' in read) {
      this.#fault(`${segment.uri}: ${read.fault}`)
      return []
    }
    let kind: FrameKind = 'video'
    return read.value.flatMap((event) => {
      if (event.kind === 'init') {
        kind = event.track.kind
        return []
      }
      const { data } = event.sample
      const number = numberIn(kind, data)
      if (number === undefined) return []
      return [{ kind, number, digest: digestOf(data), segment: segment.number }]
    })
  }

  #init(uri: string): Promise<Buffer | undefined> {
    const known = this.#inits.get(uri) ?? this.#bytes(uri)
    this.#inits.set(uri, known)
    return known
  }

  async #text(name: string): Promise<string | undefined> {
    try {
      const { status, body } = await this.#client.get(`${this.#media}/${name}`)
      if (status === 200) return body.toString()
      if (this.#seen.has(name)) this.#fault(`${name} answers ${status}`)
    } catch (err) {
      if (this.#seen.has(name)) this.#fault(`${name} breaks off: ${err}`)
    }
    return undefined
  }

  async #bytes(uri: string): Promise<Buffer | undefined> {
    try {
      const { status, body } = await this.#client.get(`${this.#media}/${uri}`)
      if (status === 200) return body
      this.#fault(`${uri} is listed and answers ${status}`)
    } catch (err) {
      this.#fault(`${uri} is listed and breaks off: ${err}`)
    }
    return undefined
  }

  #fault(text: string): void {
    if (this.#faults.size < enoughFaults) this.#faults.add(text)
  }
}

function inOrder({ segments }: SeenPlaylist): SeenSegment[] {
  return [...segments.values()].sort((a, b) => a.segment.number - b.segment.number)
}

function factsOf(name: string, seen: SeenPlaylist): PlaylistFacts {
  const all = inOrder(seen).map(({ segment }) => segment)
  const first = all[0]?.number ?? -1
  const last = all.at(-1)?.number ?? -1
  const skipped: number[] = []
  for (let number = first; number < last; number++) {
    if (!seen.segments.has(number)) skipped.push(number)
  }
  const media = all.filter(({ isGap }) => !isGap)
  return {
    name,
    firstNumber: first,
    lastNumber: last,
    segments: all.length,
    gaps: all.length - media.length,
    discontinuities: all.slice(1).filter(({ hasDiscontinuity }) => hasDiscontinuity).length,
    skipped,
    takes: [...new Set(media.map(({ uri }) => uri!.split('/')[0]!))],
  }
}
