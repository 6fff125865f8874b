// Fetches some of what live playlists name and compares it byte by byte: hinted parts before they exist, open
// segments as they grow, and both with the whole segment when that is complete.
import { findBox, readBoxes } from '../../media/mp4/boxes.ts'
import type { FaultLog } from './fault-log.ts'
import type { LivePlaylist, LiveSegment } from './hls-text.ts'
import { hintOf } from './live-view.ts'
import type { ReadAnswer, TlsClient } from './tls-client.ts'

export interface SampleCounts {
  inits: number
  parts: number
  hints: number
  segments: number
  openSegments: number
}

export interface MediaSamplerOptions {
  client: TlsClient
  faults: FaultLog
  /** One segment in so many is looked at. */
  every: number
  signal: AbortSignal
}

/** One per media playlist. */
export class MediaSampler {
  readonly counts: SampleCounts = { inits: 0, parts: 0, hints: 0, segments: 0, openSegments: 0 }
  readonly #options: MediaSamplerOptions
  /** Of the segments that are looked at: what hints and parts gave, by URL. */
  readonly #parts = new Map<string, Promise<Buffer | undefined>>()
  readonly #hinted = new Map<string, Promise<Buffer | undefined>>()
  readonly #open = new Map<number, Promise<ReadAnswer | undefined>>()
  readonly #inits = new Set<string>()
  readonly #done = new Set<number>()
  readonly #running = new Set<Promise<void>>()
  /** Decode time of the first sample, in ticks, of segments that were fetched. */
  readonly startTicks = new Map<number, { uri: string; ticks: number }>()

  constructor(options: MediaSamplerOptions) {
    this.#options = options
  }

  /** Called with each version that a low-latency client has seen. */
  see(playlist: LivePlaylist, url: string): void {
    for (const segment of playlist.segments) {
      if (segment.mapUri && !segment.isGap) this.#init(new URL(segment.mapUri, url).href)
    }
    const newest = playlist.segments.slice(-3)
    for (const segment of newest) {
      if (!this.#isSampled(segment.number) || segment.isGap) continue
      for (const part of segment.parts) if (!part.isGap) void this.#part(part.uri, url)
      if (segment.uri === undefined) this.#grow(segment, url)
      else if (!this.#done.has(segment.number)) {
        this.#done.add(segment.number)
        this.#run(this.#whole(segment, url))
      }
    }
    const hint = hintOf(playlist)
    const last = playlist.segments.at(-1)
    if (hint && last && this.#isSampled(last.number) && last.uri === undefined) {
      this.#hint(new URL(hint, url).href)
    }
  }

  /** Resolves when nothing is under way. */
  async settle(): Promise<void> {
    while (this.#running.size > 0) await Promise.all(this.#running)
  }

  #isSampled(number: number): boolean {
    return number % this.#options.every === 0
  }

  #run(work: Promise<void>): void {
    const watched = work
      .catch((err: unknown) => {
        if (!this.#options.signal.aborted) this.#options.faults.add('media', String(err))
      })
      .finally(() => this.#running.delete(watched))
    this.#running.add(watched)
  }

  #init(url: string): void {
    if (this.#inits.has(url)) return
    this.#inits.add(url)
    this.#run(
      this.#fetch(url).then((body) => {
        if (!body) return
        this.counts.inits++
        const types = readBoxes(body)?.map(({ type }) => type) ?? []
        if (!types.includes('ftyp') || !types.includes('moov')) {
          this.#options.faults.add(url, `is no init section: ${types}`)
        }
      }),
    )
  }

  #part(uri: string, base: string): Promise<Buffer | undefined> {
    const url = new URL(uri, base).href
    let body = this.#parts.get(url)
    if (!body) {
      body = this.#fetch(url)
      this.#parts.set(url, body)
      this.#run(body.then((bytes) => this.#lookAtPart(url, bytes)))
    }
    return body
  }

  #lookAtPart(url: string, bytes: Buffer | undefined): void {
    if (!bytes) return
    this.counts.parts++
    const types = readBoxes(bytes)?.map(({ type }) => type)
    if (!types?.includes('moof') || !types.includes('mdat')) {
      this.#options.faults.add(url, `is not made of whole boxes: ${types}`)
    }
  }

  /** What a hint names must be requestable at once, and come whole (§6.2.6); it may never come if its take ends. */
  #hint(url: string): void {
    if (this.#hinted.has(url)) return
    const body = this.#fetch(url, [404])
    this.#hinted.set(url, body)
    this.#run(
      body.then((bytes) => {
        if (bytes) this.counts.hints++
      }),
    )
  }

  /** A DASH client asks for a segment while it grows. */
  #grow({ number, parts }: LiveSegment, base: string): void {
    const folder = parts[0]?.uri.replace(/[^/]*$/, '')
    if (folder === undefined || this.#open.has(number)) return
    const url = new URL(`${folder}${number}.m4s`, base).href
    const { client, signal, faults } = this.#options
    const answer = client.get(url, { signal }).catch((err: unknown) => {
      if (!signal.aborted) faults.add(url, `broke off while it grew: ${err}`)
      return undefined
    })
    this.#open.set(number, answer)
    this.#run(answer.then(() => {}))
  }

  async #whole(segment: LiveSegment, base: string): Promise<void> {
    const { faults } = this.#options
    const url = new URL(segment.uri!, base).href
    const body = await this.#fetch(url)
    if (!body) return
    this.counts.segments++
    const tfdt = findBox(body, ['moof', 'traf', 'tfdt'])
    if (tfdt) {
      const isLong = body[tfdt.bodyStart] === 1
      const ticks = isLong
        ? Number(body.readBigUInt64BE(tfdt.bodyStart + 4))
        : body.readUInt32BE(tfdt.bodyStart + 4)
      this.startTicks.set(segment.number, { uri: url, ticks })
    } else faults.add(url, 'has no decode time')
    const parts = segment.parts.filter(({ isGap }) => !isGap)
    if (parts.length > 0) {
      const bodies = await Promise.all(parts.map(({ uri }) => this.#part(uri, base)))
      if (bodies.every((it) => it !== undefined) && !Buffer.concat(bodies).equals(body)) {
        faults.add(url, 'is not its parts, one after the other')
      }
      for (const [index, { uri }] of parts.entries())
        await this.#compareHint(uri, base, bodies[index])
    }
    const grown = await this.#open.get(segment.number)
    if (grown) {
      this.counts.openSegments++
      if (grown.status !== 200) faults.add(url, `answered ${grown.status} while it grew`)
      else if (!grown.body.equals(body)) faults.add(url, 'is not what was sent while it grew')
    }
    this.#open.delete(segment.number)
    for (const { uri } of parts) this.#parts.delete(new URL(uri, base).href)
  }

  async #compareHint(uri: string, base: string, body: Buffer | undefined): Promise<void> {
    const url = new URL(uri, base).href
    const hinted = this.#hinted.get(url)
    if (!hinted || !body) return
    this.#hinted.delete(url)
    const bytes = await hinted
    if (!bytes) this.#options.faults.add(url, 'was hinted at, could not be had, and is listed')
    else if (!bytes.equals(body)) this.#options.faults.add(url, 'is not what was sent for the hint')
  }

  /** What is listed must be there (§6.2.1); undefined after a fault, or when its status may be. */
  async #fetch(url: string, mayBe: number[] = []): Promise<Buffer | undefined> {
    const { client, signal, faults } = this.#options
    try {
      const { status, body } = await client.get(url, { signal })
      if (status === 200) return body
      if (!mayBe.includes(status)) faults.add(url, `is listed and answers ${status}`)
    } catch (err) {
      if (!signal.aborted) faults.add(url, `is listed and breaks off: ${err}`)
    }
    return undefined
  }
}
