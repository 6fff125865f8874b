// Turns the files that ffmpeg's dash muxer finishes in a work folder into rows of validated segments.
//
// The muxer writes `{stream}-{n}.m4s.tmp` and renames it when it is whole, so a name without `.tmp` is a
// finished file. A finished file is still not believed: on a full disk ffmpeg writes truncated and empty
// ones without a word. Each is parsed, must start with a sync sample and go on where the one before ended.
// Then it is linked to its final name; the muxer deletes its own name when it no longer needs it.
import { copyFile, link, mkdir, readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type InitTrack, parseInitSection } from '../../media/mp4/init-section.ts'
import { type MediaSegment, parseMediaSegment } from '../../media/mp4/media-segment.ts'
import type { LoggedRendition, LoggedSegment } from './segment-log.ts'

/** One output stream of the muxer; its place in the list is its number in file names. */
export interface CollectedStream {
  name: string
  kind: 'video' | 'audio'
  isSource: boolean
  nominalBitsPerSecond: number
}

export interface CollectedRow {
  segments: Record<string, LoggedSegment>
  /** With the first row only. */
  renditions?: LoggedRendition[]
}

export type CollectResult =
  | { kind: 'row'; row: CollectedRow }
  | { kind: 'none' }
  | { kind: 'broken'; reason: string }

export interface SegmentCollectorOptions {
  workFolder: string
  streams: readonly CollectedStream[]
  /** Folder that the files of a rendition go to. */
  folderOf: (rendition: string) => string
  /** Number that the next committed row will get. */
  nextNumber: () => number
}

/** How far a segment may start from the end of the one before: millisecond clocks round by less. */
const maxSeamSeconds = 0.25
/** How far the segments of one row may start apart. */
const maxSkewSeconds = 1.5

export class SegmentCollector {
  readonly #options: SegmentCollectorOptions
  #tracks: InitTrack[] | undefined
  #nextIndex = 1
  readonly #endSeconds: number[] = []

  constructor(options: SegmentCollectorOptions) {
    this.#options = options
  }

  /** The next row if all its files are finished. Its files are in place when it is answered. */
  async collect(): Promise<CollectResult> {
    const { workFolder, streams } = this.#options
    const names = streams.map((_, stream) => `${stream}-${this.#nextIndex}.m4s`)
    const present = new Set(await readdir(workFolder).catch(() => []))
    if (!names.every((name) => present.has(name))) return { kind: 'none' }

    const isFirst = this.#tracks === undefined
    const tracks = this.#tracks ?? (await this.#readTracks())
    if (typeof tracks === 'string') return { kind: 'broken', reason: tracks }
    const segments: Record<string, LoggedSegment> = {}
    const parsed: MediaSegment[] = []
    for (const [stream, { name }] of streams.entries()) {
      const file = join(workFolder, names[stream]!)
      const bytes = await readFile(file).catch(() => Buffer.alloc(0))
      const result = parseMediaSegment(bytes, tracks[stream]!)
      const reason = result.ok
        ? this.#misfit(stream, tracks[stream]!, result.segment)
        : result.reason
      if (!result.ok || reason !== undefined) {
        return { kind: 'broken', reason: `segment ${this.#nextIndex} of ${name}: ${reason}` }
      }
      parsed.push(result.segment)
      segments[name] = {
        startTicks: result.segment.startTicks,
        durationTicks: result.segment.durationTicks,
        sizeBytes: bytes.length,
      }
    }
    const starts = parsed.map((it, stream) => it.startTicks / tracks[stream]!.timescale)
    if (Math.max(...starts) - Math.min(...starts) > maxSkewSeconds) {
      return {
        kind: 'broken',
        reason: `the renditions of row ${this.#nextIndex} start too far apart`,
      }
    }
    for (const [stream, segment] of parsed.entries()) {
      this.#endSeconds[stream] =
        (segment.startTicks + segment.durationTicks) / tracks[stream]!.timescale
    }

    const number = this.#options.nextNumber()
    for (const [stream, { name }] of streams.entries()) {
      const folder = this.#options.folderOf(name)
      if (isFirst) {
        await mkdir(folder, { recursive: true })
        await place(join(workFolder, `${stream}-init.mp4`), join(folder, 'init.mp4'))
      }
      await place(join(workFolder, names[stream]!), join(folder, `${number}.m4s`))
    }
    this.#tracks = tracks
    this.#nextIndex++
    const row: CollectedRow = { segments }
    if (isFirst) row.renditions = describe(streams, tracks, parsed)
    return { kind: 'row', row }
  }

  async #readTracks(): Promise<InitTrack[] | string> {
    const tracks: InitTrack[] = []
    for (const [stream, { name, kind }] of this.#options.streams.entries()) {
      const file = join(this.#options.workFolder, `${stream}-init.mp4`)
      const result = parseInitSection(await readFile(file).catch(() => Buffer.alloc(0)))
      if (!result.ok) return `init section of ${name}: ${result.reason}`
      if (result.track.kind !== kind) return `init section of ${name} is ${result.track.kind}`
      tracks.push(result.track)
    }
    return tracks
  }

  #misfit(stream: number, track: InitTrack, segment: MediaSegment): string | undefined {
    if (track.kind === 'video' && !segment.startsWithSyncSample) return 'no keyframe at its start'
    const end = this.#endSeconds[stream]
    const seam = end === undefined ? 0 : segment.startTicks / track.timescale - end
    return Math.abs(seam) > maxSeamSeconds ? `starts ${seam.toFixed(3)} s off` : undefined
  }
}

/** A hard link where the file system has them: no byte is copied and the muxer keeps its own name. */
async function place(from: string, to: string): Promise<void> {
  try {
    await link(from, to)
  } catch (err) {
    const code = (err as NodeJS.ErrnoException).code
    if (code !== 'EPERM' && code !== 'ENOTSUP' && code !== 'EMLINK' && code !== 'EXDEV') throw err
    await copyFile(from, to)
  }
}

function describe(
  streams: readonly CollectedStream[],
  tracks: readonly InitTrack[],
  segments: readonly MediaSegment[],
): LoggedRendition[] {
  return streams.map((stream, index) => {
    const track = tracks[index]!
    const segment = segments[index]!
    return {
      ...stream,
      codec: track.codec,
      timescale: track.timescale,
      width: track.width,
      height: track.height,
      framesPerSecond:
        track.kind === 'video'
          ? roundedRate((segment.sampleCount * track.timescale) / segment.durationTicks)
          : 0,
      sampleRate: track.sampleRate,
      channels: track.channels,
    }
  })
}

/** Timestamps in milliseconds blur the rate: 29.99 is 30, and 29.965 is 29.97. */
export function roundedRate(framesPerSecond: number): number {
  const known = [23.976, 24, 25, 29.97, 30, 48, 50, 59.94, 60, 100, 119.88, 120]
  const nearest = known.reduce((best, rate) =>
    Math.abs(rate - framesPerSecond) < Math.abs(best - framesPerSecond) ? rate : best,
  )
  return Math.abs(nearest - framesPerSecond) <= nearest * 0.002
    ? nearest
    : Math.round(framesPerSecond * 100) / 100
}
