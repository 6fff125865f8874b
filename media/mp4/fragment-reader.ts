// Reads fragmented MP4 of one track from a pipe, sample by sample, as it is written: ftyp, moov, then moof and
// mdat in turns (ISO/IEC 14496-12 §8.8). Everything else on the top level is skipped.
//
// Rules:
// - Bytes may be cut anywhere. A box is collected until it is whole, then read; a sample comes out when its mdat
//   is whole.
// - Samples are views of a copy of their mdat, never of what was pushed.
// - The first fault is final: every later push answers it again.
import type { Parsed } from '../parsed.ts'
import { findBox, readBoxes } from './boxes.ts'
import { type InitTrack, parseInitSection } from './init-section.ts'
import type { MediaSample } from './track.ts'
import { readDecodeTime, readTrackHeader, readTrackRun } from './track-fragment.ts'

export type FragmentEvent =
  /** ftyp and moov. Comes once, first. */
  { kind: 'init'; bytes: Buffer; track: InitTrack } | { kind: 'sample'; sample: MediaSample }

const maxBoxBytes = 64 * 1024 * 1024
const maxInitBytes = 1024 * 1024
const headerBytes = 8
const largeHeaderBytes = 16
const collected = new Set(['ftyp', 'moov', 'moof', 'mdat'])

interface OpenBox {
  type: string
  /** Of its first byte, counted from the start of the stream. */
  start: number
  bodyStart: number
  missingBytes: number
  /** From its header on; undefined while it is skipped. */
  parts: Buffer[] | undefined
}

/** What a trun says of a sample whose bytes are still to come. */
interface Announced {
  sample: Omit<MediaSample, 'data'>
  start: number
  size: number
}

export class FragmentReader {
  readonly #header = Buffer.alloc(largeHeaderBytes)
  #headerLength = 0
  #box: OpenBox | undefined
  #position = 0
  #fileType: Buffer | undefined
  #track: InitTrack | undefined
  #announced: Announced[] = []
  #fault: string | undefined

  /** What these bytes complete; nothing of it when they hold a fault. */
  push(bytes: Buffer): Parsed<FragmentEvent[]> {
    const events: FragmentEvent[] = []
    let at = 0
    while (at < bytes.length && this.#fault === undefined) {
      const taken = this.#box ? this.#fillBox(bytes, at, this.#box) : this.#fillHeader(bytes, at)
      at += taken
      this.#position += taken
      if (this.#box?.missingBytes === 0) {
        const box = this.#box
        this.#box = undefined
        this.#fault = this.#onBox(box, events)
      }
    }
    return this.#fault === undefined ? { value: events } : { fault: this.#fault }
  }

  #fillHeader(bytes: Buffer, at: number): number {
    const isLarge = this.#headerLength >= headerBytes
    const wanted = (isLarge ? largeHeaderBytes : headerBytes) - this.#headerLength
    const taken = bytes.copy(this.#header, this.#headerLength, at, at + wanted)
    this.#headerLength += taken
    if (taken < wanted) return taken
    let size = this.#header.readUInt32BE()
    if (size === 1) {
      if (!isLarge) return taken
      size = Number(this.#header.readBigUInt64BE(headerBytes))
    }
    const length = this.#headerLength
    const type = this.#header.toString('latin1', 4, 8)
    // Size 0 means "to the end of the file", which a pipe does not tell.
    if (size < length) this.#fault = 'a box that is smaller than its header'
    else if (size > (type === 'moov' || type === 'ftyp' ? maxInitBytes : maxBoxBytes)) {
      this.#fault = 'a box that is too large'
    }
    const start = this.#position + taken - length
    this.#headerLength = 0
    this.#box = {
      type,
      start,
      bodyStart: start + length,
      missingBytes: size - length,
      parts: collected.has(type) ? [Buffer.from(this.#header.subarray(0, length))] : undefined,
    }
    return taken
  }

  #fillBox(bytes: Buffer, at: number, box: OpenBox): number {
    const taken = Math.min(bytes.length - at, box.missingBytes)
    box.parts?.push(bytes.subarray(at, at + taken))
    box.missingBytes -= taken
    return taken
  }

  /** Answers what is wrong with it. */
  #onBox({ type, start, bodyStart, parts }: OpenBox, events: FragmentEvent[]): string | undefined {
    if (!parts) return undefined
    const bytes = Buffer.concat(parts)
    switch (type) {
      case 'ftyp':
        this.#fileType ??= bytes
        return undefined
      case 'moov':
        return this.#onInit(bytes, events)
      case 'moof':
        return this.#onFragment(bytes, start)
      default:
        return this.#onMedia(bytes, start, bodyStart, events)
    }
  }

  #onInit(moov: Buffer, events: FragmentEvent[]): string | undefined {
    if (this.#track) return 'a second moov box'
    const bytes = this.#fileType ? Buffer.concat([this.#fileType, moov]) : moov
    if (bytes.length > maxInitBytes) return 'an init section that is too large'
    const init = parseInitSection(bytes)
    if (!init.ok) return `an init section that cannot be read: ${init.reason}`
    this.#track = init.track
    this.#fileType = undefined
    events.push({ kind: 'init', bytes, track: init.track })
    return undefined
  }

  #onFragment(bytes: Buffer, start: number): string | undefined {
    if (!this.#track) return 'a fragment before the init section'
    if (this.#announced.length > 0) return 'a fragment without its media'
    const announced = readFragment(bytes, start, this.#track)
    if (typeof announced === 'string') return announced
    this.#announced = announced
    return undefined
  }

  #onMedia(
    bytes: Buffer,
    start: number,
    bodyStart: number,
    events: FragmentEvent[],
  ): string | undefined {
    const end = start + bytes.length
    for (const { sample, start: sampleStart, size } of this.#announced) {
      if (sampleStart < bodyStart || sampleStart + size > end)
        return 'a sample outside of its media'
      const data = bytes.subarray(sampleStart - start, sampleStart - start + size)
      events.push({ kind: 'sample', sample: { ...sample, data } })
    }
    this.#announced = []
    return undefined
  }
}

function readFragment(bytes: Buffer, moofStart: number, track: InitTrack): Announced[] | string {
  const moof = readBoxes(bytes)?.[0]
  const boxes = moof && readBoxes(bytes, moof.bodyStart, moof.end)
  const trafs = boxes?.filter((box) => box.type === 'traf') ?? []
  const traf = trafs[0]
  if (!traf || trafs.length > 1) return `a fragment of ${trafs.length} tracks`
  const children = readBoxes(bytes, traf.bodyStart, traf.end)
  const tfhd = children?.find((box) => box.type === 'tfhd')
  const tfdt = findBox(bytes, ['tfdt'], traf.bodyStart, traf.end)
  if (!children || !tfhd || !tfdt) return 'a fragment without tfhd or tfdt'

  const header = readTrackHeader(bytes, tfhd, track.defaults)
  if (!header) return 'a tfhd that is cut off'
  if (header.trackId !== track.trackId) return 'a fragment of another track'
  const decodeTime = readDecodeTime(bytes, tfdt)
  if (decodeTime === undefined) return 'a tfdt that is cut off or wrapped'

  const announced: Announced[] = []
  // Without a base in the header the moof is it, said or not: there is one traf (§8.8.7.1).
  const base = header.baseOffset ?? moofStart
  let start = base
  let dts = decodeTime
  for (const trun of children) {
    if (trun.type !== 'trun') continue
    const run = readTrackRun(bytes, trun, header.defaults, announced.length)
    if (run === 'too-many') return 'a fragment of too many samples'
    if (run === 'cut-off') return 'a trun that is cut off'
    if (run.dataOffset !== undefined) start = base + run.dataOffset
    for (const { duration, size, isSync: isKeyframe, cts } of run.samples) {
      announced.push({ sample: { dts, cts, duration, isKeyframe }, start, size })
      dts += duration
      start += size
    }
  }
  return announced
}
