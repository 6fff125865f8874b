// Follows all playlists of a broadcast as a viewer could, and holds what they list to the rules: text, numbers,
// discontinuities, MPDs beside playlists, and the media itself, box by box and through a decoder.
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { FragmentReader } from '../../media/mp4/fragment-reader.ts'
import type { InitTrack } from '../../media/mp4/init-section.ts'
import type { MediaSample } from '../../media/mp4/track.ts'
import { checkPlaylistEdit, playlistFaults, playlistSetFaults } from './hls-rules.ts'
import { type LivePart, type LiveSegment, readLivePlaylist } from './hls-text.ts'
import { mpdFaults } from './mpd-rules.ts'
import { until } from './until.ts'

const run = promisify(execFile)
const pollMs = 250
const mpdNames = ['manifest.mpd', 'timeline.mpd']

/** One rendition of one take, decoded as one stream. */
export interface SeenMedia {
  take: string
  track: InitTrack
  segments: LiveSegment[]
  samples: MediaSample[]
  decodedFrames: number
}

export class SeenBroadcast implements AsyncDisposable {
  /** Sentences; empty where all is well. */
  readonly faults = new Set<string>()
  readonly #url: string
  readonly #texts = new Map<string, string>()
  readonly #segments = new Map<string, Map<number, LiveSegment>>()
  /** Decode times, by the URL of the segment. */
  readonly #ticks: { uri: string; ticks: number }[] = []
  readonly #stop = new AbortController()
  readonly #loop: Promise<void>

  /** `url` is the folder of the manifests. */
  constructor(url: string) {
    this.#url = url
    this.#loop = this.#watch()
  }

  /** Resolves when every playlist has ended. */
  async ended(limitMs?: number): Promise<void> {
    await until(
      'the end of all playlists',
      () =>
        this.#texts.size > 1 &&
        [...this.#texts].every(([name, text]) => {
          return name === 'index.m3u8' || text.includes('#EXT-X-ENDLIST')
        }),
      limitMs,
    )
    await this.stop()
  }

  async stop(): Promise<void> {
    this.#stop.abort()
    await this.#loop
    const media = [...this.#texts].filter(([name]) => name !== 'index.m3u8')
    if (media.length === 0) return
    for (const it of playlistSetFaults(Object.fromEntries(media))) this.faults.add(it)
    for (const name of this.names) this.#checkOrder(name)
  }

  /** Of both MPDs, once all has ended: each segment of media is in the one with a timeline. */
  async checkMpds(): Promise<void> {
    await this.#lookAtMpds()
    const listed = new Set<string>()
    for (const name of mpdNames) {
      const { mpd } = mpdFaults((await this.#text(name)) ?? '', this.#mpdContext(name))
      if (mpd?.isDynamic !== false) this.faults.add(`${name} is not static at the end`)
      if (name !== 'timeline.mpd') continue
      for (const { timeline, media } of mpd?.periods.flatMap((it) => it.representations) ?? []) {
        for (const { number } of timeline) listed.add(media.replace('$Number$', `${number}`))
      }
    }
    for (const { uri } of this.names.flatMap((name) =>
      this.segments(name).filter((it) => !it.isGap),
    )) {
      if (!listed.has(uri!)) this.faults.add(`${uri} is not in timeline.mpd`)
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort()
    await this.#loop
  }

  /** Of the media playlists, those of keyframes not among them. */
  get names(): string[] {
    return [...this.#segments.keys()].sort()
  }

  text(name: string): string {
    return this.#texts.get(name) ?? ''
  }

  /** All that were ever listed, with the parts that they ever had. */
  segments(name: string): LiveSegment[] {
    return [...(this.#segments.get(name)?.values() ?? [])].sort((a, b) => a.number - b.number)
  }

  /** Takes that have media, in order. */
  takes(name: string): string[] {
    return [...new Set(this.segments(name).flatMap((it) => (it.isGap ? [] : [takeOf(it)])))]
  }

  /** Fetches and checks everything that a playlist has listed; faults are kept. */
  async media(name: string): Promise<SeenMedia[]> {
    const all: SeenMedia[] = []
    for (const take of this.takes(name)) {
      const segments = this.segments(name).filter((it) => !it.isGap && takeOf(it) === take)
      const init = await this.#bytes(segments[0]!.mapUri!)
      const bodies: Buffer[] = []
      const reader = new FragmentReader()
      const read = (bytes: Buffer) => {
        const events = reader.push(bytes)
        if ('value' in events) return events.value
        this.faults.add(`${take} of ${name}: ${events.fault}`)
        return []
      }
      const [head] = read(init)
      if (head?.kind !== 'init') throw new Error(`no init section of ${take} in ${name}`)
      const samples: MediaSample[] = []
      for (const segment of segments) {
        const body = await this.#bytes(segment.uri!)
        await this.#compareParts(segment, body)
        bodies.push(body)
        const own = read(body).flatMap((it) => (it.kind === 'sample' ? [it.sample] : []))
        this.#checkTimes(segment, own, samples.at(-1), head.track)
        if (own[0]) this.#ticks.push({ uri: `${this.#url}/${segment.uri}`, ticks: own[0].dts })
        for (const sample of own) samples.push(sample)
      }
      const decodedFrames = await this.#decode(`${take} of ${name}`, [init, ...bodies])
      all.push({ take, track: head.track, segments, samples, decodedFrames })
    }
    return all
  }

  async #watch(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      try {
        await this.#look()
      } catch (err) {
        if (!this.#stop.signal.aborted) this.faults.add(String(err))
      }
      await new Promise((resolve) => setTimeout(resolve, pollMs))
    }
  }

  async #look(): Promise<void> {
    const index = await this.#text('index.m3u8')
    if (index === undefined) return
    this.#texts.set('index.m3u8', index)
    for (const it of playlistFaults(index)) this.faults.add(`index: ${it}`)
    const uris = new Set(index.match(/^[\w-]+\.m3u8$|(?<=URI=")[\w-]+\.m3u8/gm))
    const known = [...this.#texts.keys()].filter((it) => it !== 'index.m3u8')
    await Promise.all([...new Set([...uris, ...known])].map((uri) => this.#lookAt(uri)))
    await this.#lookAtMpds()
  }

  async #lookAtMpds(): Promise<void> {
    for (const name of mpdNames) {
      const text = await this.#text(name)
      if (text === undefined) continue
      for (const it of mpdFaults(text, this.#mpdContext(name)).faults) {
        this.faults.add(`${name}: ${it}`)
      }
    }
  }

  #mpdContext(name: string) {
    return { url: `${this.#url}/${name}`, history: this.#segments, samples: this.#ticks }
  }

  async #lookAt(uri: string): Promise<void> {
    const text = await this.#text(uri)
    if (text === undefined) {
      this.faults.add(`${uri} is named and cannot be had`)
      return
    }
    const before = this.#texts.get(uri)
    // A playlist of keyframes is empty while the first segment is open.
    if (text === before || !text.includes('.m4s')) return
    this.#texts.set(uri, text)
    for (const it of playlistFaults(text)) this.faults.add(`${uri}: ${it}`)
    if (before) for (const it of checkPlaylistEdit(before, text)) this.faults.add(`${uri}: ${it}`)
    if (uri.includes('-iframes')) return
    const name = uri.replace('.m3u8', '')
    const seen = this.#segments.get(name) ?? new Map<number, LiveSegment>()
    this.#segments.set(name, seen)
    for (const segment of readLivePlaylist(text).segments) {
      if (segment.uri === undefined) continue
      const parts: LivePart[] = seen.get(segment.number)?.parts ?? []
      seen.set(
        segment.number,
        parts.length > segment.parts.length ? { ...segment, parts } : segment,
      )
    }
  }

  /** Numbers step by one; a discontinuity stands where a take begins, and nowhere else. */
  #checkOrder(name: string): void {
    let before: LiveSegment | undefined
    for (const segment of this.segments(name)) {
      const label = `${name} ${segment.number}`
      if (before && segment.number !== before.number + 1) {
        this.faults.add(`${label} follows ${before.number}`)
      }
      const isNew = before !== undefined && takeOf(before) !== takeOf(segment)
      if (isNew !== (segment.hasDiscontinuity && before !== undefined)) {
        this.faults.add(`${label}: ${isNew ? 'no discontinuity' : 'a discontinuity'} in this place`)
      }
      before = segment
    }
  }

  async #compareParts({ uri, parts, mapUri }: LiveSegment, body: Buffer): Promise<void> {
    const own = parts.filter((it) => !it.isGap)
    if (own.length === 0) return
    const bytes = await Promise.all(own.map((it) => this.#bytes(it.uri)))
    // Of parts that had left when we came, the rest must be the end.
    const joined = Buffer.concat(bytes)
    if (mapUri === undefined || !body.subarray(body.length - joined.length).equals(joined)) {
      this.faults.add(`${uri} is not its parts, one after the other`)
    }
  }

  #checkTimes(
    segment: LiveSegment,
    samples: readonly MediaSample[],
    last: MediaSample | undefined,
    { timescale, kind }: InitTrack,
  ): void {
    const { uri, seconds, parts } = segment
    const first = samples[0]
    if (!first) {
      this.faults.add(`${uri} holds no sample`)
      return
    }
    const hasGap = parts.some((it) => it.isGap)
    const frame = (last ?? first).duration
    const seam = last ? first.dts - last.dts - last.duration : 0
    // Behind a hole, or a segment of gaps, a take goes on where its media is.
    if (seam < -frame || (seam > frame && !hasGap && !this.#followsHole(segment))) {
      this.faults.add(`${uri} begins ${seam} ticks after the end of the one before`)
    }
    if (kind === 'video' && !first.isKeyframe && !hasGap) {
      this.faults.add(`${uri} does not begin with a keyframe`)
    }
    for (const [index, sample] of samples.entries()) {
      const next = samples[index + 1]
      if (!(sample.duration > 0)) this.faults.add(`${uri}: a sample without a duration`)
      if (next && next.dts < sample.dts + sample.duration - 1) {
        this.faults.add(`${uri}: samples overlap at ${next.dts}`)
      }
    }
    const end = samples.at(-1)!
    const lasted = (end.dts + end.duration - first.dts) / timescale
    if (!hasGap && Math.abs(lasted - seconds) > 0.05) {
      this.faults.add(`${uri} lasts ${lasted} s and says ${seconds}`)
    }
  }

  #followsHole({ number }: LiveSegment): boolean {
    for (const byNumber of this.#segments.values()) {
      const before = byNumber.get(number - 1)
      if (before?.isGap || before?.parts.some((it) => it.isGap)) return true
    }
    return false
  }

  async #decode(label: string, pieces: readonly Buffer[]): Promise<number> {
    const args = ['-v', 'error', '-f', 'mp4', '-i', 'pipe:0', '-fps_mode', 'passthrough']
    const decoding = run('ffmpeg', [...args, '-f', 'framecrc', 'pipe:1'], {
      maxBuffer: 64 * 1024 * 1024,
    })
    decoding.child.stdin?.on('error', () => {})
    decoding.child.stdin?.end(Buffer.concat(pieces))
    const { stdout, stderr } = await decoding.catch(
      (err: { stdout: string; stderr: string }) => err,
    )
    if (stderr !== '') this.faults.add(`${label} does not decode: ${stderr.slice(0, 500)}`)
    return stdout.split('\n').filter((line) => /^\d/.test(line)).length
  }

  async #text(name: string): Promise<string | undefined> {
    const answer = await fetch(`${this.#url}/${name}`)
    const text = await answer.text()
    return answer.ok ? text : undefined
  }

  async #bytes(uri: string): Promise<Buffer> {
    const answer = await fetch(`${this.#url}/${uri}`)
    if (!answer.ok) this.faults.add(`${uri} is listed and answers ${answer.status}`)
    return Buffer.from(await answer.arrayBuffer())
  }
}

export function takeOf({ uri }: LiveSegment): string {
  return uri!.split('/')[0]!
}

/** A letter per segment, the same for those of one take; a hyphen for each gap. */
export function shapeOf(seen: SeenBroadcast, name: string): string {
  const takes = [...new Set(seen.segments(name).map(takeOf))]
  return seen
    .segments(name)
    .map((it) => (it.isGap ? '-' : String.fromCharCode(65 + takes.indexOf(takeOf(it)))))
    .join('')
}
