// Watches a live stream at an edge as all kinds of clients together would, through everything that happens to
// it, and collects what breaks the rules of live playlists and MPDs (RFC 8216bis, ISO/IEC 23009-1).
//
//   multivariant ─► a low-latency client per media playlist: blocking reloads, every other one as a delta
//                ─► a plain client per playlist, those of keyframes included
//   both MPDs    ─► parsed; their numbers and times compared with what HLS lists (mpd-rules.ts)
//   samples      ─► hints, parts, segments and open segments, compared byte by byte (media-sampler.ts)
//
// Rules about the text of one playlist or two versions of it are in hls-rules.ts; here are those that take
// several clients, media or a clock. Caches may show two clients different versions: each version is compared
// with what the same client has seen before.
import { type Fault, FaultLog } from './fault-log.ts'
import { checkPlaylistEdit, discontinuitiesByNumber, playlistFaults } from './hls-rules.ts'
import { type LivePlaylist, readLivePlaylist } from './hls-text.ts'
import { contentOf, nextOf, reaches, withDelta } from './live-view.ts'
import { MediaSampler } from './media-sampler.ts'
import { mpdFaults, type SegmentHistory } from './mpd-rules.ts'
import { type ReadAnswer, TlsClient } from './tls-client.ts'
import { until } from './until.ts'

export interface LiveCheckerOptions {
  /** Folder of the manifests at an edge, without the last slash: `https://localhost:8443/live/demo`. */
  media: string
  /** PEM of the authority that signed the edge's certificate. */
  ca: string | Buffer
  /** One segment in so many is fetched and compared. */
  sampleEvery?: number
  /** How often a plain client asks. */
  pollMs?: number
}

export interface CheckerReport {
  faults: Fault[]
  /** More than were kept may have been found. */
  faultCount: number
  playlists: string[]
  versions: number
  blockedReloads: number
  deltas: number
  mpds: number
  segments: number
  gaps: number
  discontinuities: number
  lastNumber: number
  isEnded: boolean
  media: { inits: number; parts: number; hints: number; segments: number; openSegments: number }
}

/** Beyond the 1.5 target durations that the RFC allows: what a crowded test machine may lose. */
const slackMs = 1_500
/** Sound and picture are cut within half a frame of each other. */
const dateToleranceMs = 60

interface Unreported {
  name: string
  missing: string
  /** The newest of its own that the playlist listed. */
  number: number
  text: string
}

/** In numbers: when a publisher comes back, an encoded rendition tells later than the source what was a gap. */
const reportTolerance = 4

export class LiveChecker implements AsyncDisposable {
  readonly #media: string
  readonly #client: TlsClient
  readonly #stop = new AbortController()
  readonly #log = new FaultLog()
  readonly #every: number
  readonly #pollMs: number
  readonly #loops: Promise<void>[] = []
  readonly #followed = new Map<string, MediaSampler | undefined>()
  readonly #history: SegmentHistory = new Map()
  readonly #constants = new Map<string, string>()
  readonly #discontinuities = new Map<number, { count: number; name: string }>()
  /** Judged when the next multivariant playlist is read. */
  readonly #unreported = new Map<string, Unreported>()
  /** By playlist: the last number that it listed of each take, and of gaps under the empty name. */
  readonly #takes = new Map<string, Map<string, number>>()
  readonly #report = { versions: 0, blockedReloads: 0, deltas: 0, mpds: 0 }
  #isEnded = false

  /** Resolves when there is a stream to watch. */
  static async start(options: LiveCheckerOptions): Promise<LiveChecker> {
    const checker = new LiveChecker(options)
    try {
      await until('a multivariant playlist', async () => {
        return (await checker.#get('index.m3u8')).status === 200
      })
    } catch (err) {
      await checker[Symbol.asyncDispose]()
      throw err
    }
    checker.#loop('index.m3u8', () => checker.#followMultivariant())
    for (const name of ['manifest.mpd', 'timeline.mpd']) {
      checker.#loop(name, () => checker.#followMpd(name))
    }
    return checker
  }

  private constructor({ media, ca, sampleEvery = 3, pollMs = 1_000 }: LiveCheckerOptions) {
    this.#media = media
    this.#client = new TlsClient(ca)
    this.#every = sampleEvery
    this.#pollMs = pollMs
  }

  get faults(): readonly Fault[] {
    return this.#log.faults
  }

  get report(): CheckerReport {
    const samplers = [...this.#followed.values()].filter((it) => it !== undefined)
    const sum = (pick: (counts: MediaSampler['counts']) => number) =>
      samplers.reduce((total, { counts }) => total + pick(counts), 0)
    const segments = [...this.#history.values()].flatMap((byNumber) => [...byNumber.values()])
    return {
      faults: [...this.#log.faults],
      faultCount: this.#log.count,
      playlists: [...this.#followed.keys()],
      ...this.#report,
      segments: segments.length,
      gaps: segments.filter(({ isGap }) => isGap).length,
      discontinuities: new Set([...this.#discontinuities.values()].map(({ count }) => count)).size,
      lastNumber: segments.reduce((last, { number }) => Math.max(last, number), -1),
      isEnded: this.#isEnded,
      media: {
        inits: sum(({ inits }) => inits),
        parts: sum(({ parts }) => parts),
        hints: sum(({ hints }) => hints),
        segments: sum(({ segments }) => segments),
        openSegments: sum(({ openSegments }) => openSegments),
      },
    }
  }

  /** Stops asking, waits for what is under way, and tells what was seen. */
  async stop(): Promise<CheckerReport> {
    this.#stop.abort()
    await Promise.all(this.#loops)
    await Promise.all([...this.#followed.values()].map((sampler) => sampler?.settle()))
    this.#client.close()
    return this.report
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
  }

  #loop(where: string, work: () => Promise<void>): void {
    this.#loops.push(
      work().catch((err: unknown) => {
        if (!this.#stop.signal.aborted) this.#log.add(where, String(err))
      }),
    )
  }

  #get(path: string): Promise<ReadAnswer> {
    return this.#client.get(`${this.#media}/${path}`, { signal: this.#stop.signal })
  }

  /** The text, or undefined after a fault. */
  async #text(path: string): Promise<string | undefined> {
    const { status, body } = await this.#get(path)
    if (status === 200) return body.toString()
    this.#log.add(path, `answers ${status}`, body.toString())
    return undefined
  }

  /** Resolves at once when the checker stops. */
  async #pause(ms: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    const timer = setTimeout(resolve, ms)
    this.#stop.signal.addEventListener('abort', () => resolve(), { once: true })
    await promise
    clearTimeout(timer)
  }

  async #followMultivariant(): Promise<void> {
    while (!this.#stop.signal.aborted && !this.#isEnded) {
      const unreported = [...this.#unreported.values()]
      this.#unreported.clear()
      const text = await this.#text('index.m3u8')
      if (text !== undefined) {
        for (const fault of playlistFaults(text)) this.#log.add('index.m3u8', fault, text)
        const offered = mediaPlaylistsOf(text)
        for (const name of offered) this.#follow(name)
        // What has left the presentation needs no report, and that is known only from a later version of this one.
        for (const it of unreported) {
          if (!offered.includes(it.missing) || this.#mayHaveLeft(it)) continue
          this.#log.add(it.name, `does not report ${it.missing} (§4.4.5.4)`, it.text)
        }
      }
      await this.#pause(this.#pollMs)
    }
  }

  #follow(name: string): void {
    if (this.#followed.has(name)) return
    const hasMedia = !name.includes('-iframes')
    const sampler = hasMedia
      ? new MediaSampler({
          client: this.#client,
          faults: this.#log,
          every: this.#every,
          signal: this.#stop.signal,
        })
      : undefined
    this.#followed.set(name, sampler)
    this.#loop(name, () => this.#followPlainly(name))
    if (sampler) this.#loop(name, () => this.#followClosely(name, sampler))
  }

  /** As a player without low latency. */
  async #followPlainly(name: string): Promise<void> {
    let before: string | undefined
    while (!this.#stop.signal.aborted) {
      const text = await this.#text(name)
      if (text !== undefined) {
        this.#lookAt(name, before, text)
        before = text
        if (readLivePlaylist(text).isEnded) return
      }
      await this.#pause(this.#pollMs)
    }
  }

  /** As a player in low latency, or plainly where the playlist does not offer it. */
  async #followClosely(name: string, sampler: MediaSampler): Promise<void> {
    let whole: { text: string; read: LivePlaylist } | undefined
    let current: LivePlaylist | undefined
    let lastSegment = { number: -1, at: performance.now() }
    for (let turn = 0; !this.#stop.signal.aborted; turn++) {
      const canBlock = current?.serverControl?.['CAN-BLOCK-RELOAD'] === 'YES'
      const wanted = current && canBlock ? nextOf(current) : undefined
      const block = wanted ? `_HLS_msn=${wanted.number}&_HLS_part=${wanted.part}` : ''
      const canSkip = whole && wanted && current?.serverControl?.['CAN-SKIP-UNTIL'] !== undefined
      const path = block === '' ? name : `${name}?${block}`
      const text = await this.#text(canSkip && turn % 2 === 1 ? `${path}&_HLS_skip=v2` : path)
      if (text === undefined) {
        await this.#pause(this.#pollMs)
        continue
      }
      const read = readLivePlaylist(text)
      this.#lookAt(name, whole?.text, text)
      const now = read.skippedSegments > 0 ? await this.#applied(name, whole, text, path) : read
      if (!now) {
        whole = undefined
        continue
      }
      if (wanted && !now.isEnded) {
        this.#report.blockedReloads++
        if (!reaches(now, wanted)) {
          this.#log.add(
            name,
            'was answered before what was asked for was there (§6.2.5.2)',
            block,
            text,
          )
        }
      }
      if (read.skippedSegments === 0) whole = { text, read }
      current = now
      this.#checkReports(name, now, text)
      sampler.see(now, `${this.#media}/${name}`)
      const number = now.segments.findLast(({ uri }) => uri !== undefined)?.number ?? -1
      if (number > lastSegment.number) {
        lastSegment = { number, at: performance.now() }
      } else if (!now.isEnded) {
        const waitedMs = performance.now() - lastSegment.at
        if (waitedMs > 1500 * now.targetDuration + slackMs) {
          this.#log.add(name, 'no new segment within 1.5 target durations (§6.2.2)', text)
        }
      }
      if (now.isEnded) {
        this.#isEnded = true
        return
      }
      if (!wanted && current.serverControl?.['CAN-BLOCK-RELOAD'] !== 'YES')
        await this.#pause(this.#pollMs)
    }
  }

  /** What a delta update stands for; compared with the whole of the same version where that can still be had. */
  async #applied(
    name: string,
    whole: { text: string; read: LivePlaylist } | undefined,
    text: string,
    path: string,
  ): Promise<LivePlaylist | undefined> {
    const now = whole && withDelta(whole.read, readLivePlaylist(text))
    if (!now) {
      this.#log.add(name, 'skips what a client cannot have', whole?.text ?? '', text)
      return undefined
    }
    const full = await this.#text(path)
    if (full === undefined) return now
    const other = readLivePlaylist(full)
    if (
      JSON.stringify(nextOf(other)) === JSON.stringify(nextOf(now)) &&
      other.isEnded === now.isEnded
    ) {
      this.#report.deltas++
      if (contentOf(other) !== contentOf(now)) {
        this.#log.add(name, 'a delta gives another playlist than the whole', whole.text, text, full)
      }
    }
    return now
  }

  #lookAt(name: string, before: string | undefined, text: string): void {
    if (text === before) return
    this.#report.versions++
    for (const fault of playlistFaults(text)) this.#log.add(name, fault, text)
    if (before !== undefined) {
      for (const fault of checkPlaylistEdit(before, text)) this.#log.add(name, fault, before, text)
    }
    const read = readLivePlaylist(text)
    this.#checkConstants(name, read, text)
    if (read.skippedSegments > 0) return
    const counts = discontinuitiesByNumber(read)
    const own = this.#history.get(name) ?? new Map()
    this.#history.set(name, own)
    this.#noteTakes(name, read)
    for (const segment of read.segments) {
      const { number, dateMs = Number.NaN } = segment
      if (segment.uri !== undefined) own.set(number, segment)
      const count = counts.get(number)!
      const known = this.#discontinuities.get(number)
      if (!known) this.#discontinuities.set(number, { count, name })
      else if (known.count !== count) {
        const rule = `counts ${count} discontinuities at ${number}, ${known.name} ${known.count} (§6.2.4)`
        this.#log.add(name, rule, text)
      }
      for (const [other, byNumber] of this.#history) {
        const offMs = dateMs - (byNumber.get(number)?.dateMs ?? dateMs)
        if (Math.abs(offMs) > dateToleranceMs) {
          this.#log.add(name, `dates ${number} ${offMs} ms off ${other} (§6.2.4)`, text)
        }
      }
    }
  }

  /** The same in all playlists of a broadcast, for ever (§6.2.1, §6.2.4, §4.4.3.8). */
  #checkConstants(name: string, read: LivePlaylist, text: string): void {
    const found: Record<string, unknown> = {
      'the target duration': read.targetDuration,
      // Playlists of keyframes have no parts.
      ...(!read.hasOnlyKeyframes && { 'the part target': read.partTarget }),
      ...(!read.isEnded && { EXT_X_SERVER_CONTROL: read.serverControl }),
    }
    for (const [what, value] of Object.entries(found)) {
      const told = JSON.stringify(value) ?? 'absent'
      const first = this.#constants.get(what)
      if (first === undefined) this.#constants.set(what, told)
      else if (first !== told) this.#log.add(name, `${what} is ${told} and was ${first}`, text)
    }
  }

  /** One of each other rendition, and none of what is not (§4.4.5.4). */
  #checkReports(name: string, read: LivePlaylist, text: string): void {
    if (read.isEnded || read.reports.length === 0) {
      if (!read.isEnded && read.partTarget !== undefined && this.#mediaNames().length > 1) {
        this.#log.add(name, 'has no rendition report (§4.4.5.4)', text)
      }
      return
    }
    for (const { uri, lastNumber } of read.reports) {
      if (uri === name) this.#log.add(name, 'reports about itself (§4.4.5.4)', text)
      const ours = read.segments.at(-1)?.number ?? lastNumber
      if (Math.abs(lastNumber - ours) > reportTolerance) {
        this.#log.add(name, `reports ${lastNumber} of ${uri} beside ${ours} of its own`, text)
      }
    }
    const reported = new Set(read.reports.map(({ uri }) => uri))
    const missing = this.#mediaNames().filter((it) => it !== name && !reported.has(it))
    const number = read.segments.at(-1)?.number ?? 0
    for (const it of missing) {
      this.#unreported.set(`${name} ${it}`, { name, missing: it, number, text })
    }
  }

  #noteTakes(name: string, read: LivePlaylist): void {
    const takes = this.#takes.get(name) ?? new Map<string, number>()
    this.#takes.set(name, takes)
    for (const { number, uri, isGap, parts } of read.segments) {
      const media = uri ?? parts.find((part) => !part.isGap)?.uri
      const take = isGap || media === undefined ? '' : media.slice(0, media.indexOf('/'))
      takes.set(take, number)
    }
  }

  /**
   * It may be back before the presentation was read again: then it has no media in one of the takes that were made about
   * that time. A gap of the playlist's own hides what was made.
   */
  #mayHaveLeft({ name, missing, number }: Unreported): boolean {
    const made = this.#takes.get(missing)
    return [...(this.#takes.get(name) ?? [])].some(
      ([take, last]) => last > number - reportTolerance && (take === '' || !made?.has(take)),
    )
  }

  #mediaNames(): string[] {
    return [...this.#followed].filter(([, sampler]) => sampler).map(([name]) => name)
  }

  async #followMpd(name: string): Promise<void> {
    let startMs: number | undefined
    while (!this.#stop.signal.aborted) {
      const text = await this.#text(name)
      if (text !== undefined) {
        this.#report.mpds++
        const { faults, mpd } = mpdFaults(text, {
          url: `${this.#media}/${name}`,
          history: this.#history,
          samples: [...this.#followed.values()].flatMap((it) => [
            ...(it?.startTicks.values() ?? []),
          ]),
        })
        for (const fault of faults) this.#log.add(name, fault, text)
        startMs ??= mpd?.availabilityStartMs
        if (mpd && mpd.availabilityStartMs !== startMs) {
          this.#log.add(name, 'availabilityStartTime has changed', text)
        }
        if (mpd && !mpd.isDynamic) return
      }
      await this.#pause(this.#pollMs)
    }
  }
}

function mediaPlaylistsOf(multivariant: string): string[] {
  const lines = multivariant.split('\n')
  const uris = lines.flatMap((line, index) =>
    line.startsWith('#EXT-X-STREAM-INF:')
      ? [lines[index + 1] ?? '']
      : (/^#EXT-X-(?:MEDIA|I-FRAME-STREAM-INF):.*URI="([^"]+)"/.exec(line)?.slice(1) ?? []),
  )
  return [...new Set(uris.filter((uri) => uri !== ''))]
}
