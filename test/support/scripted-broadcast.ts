// A live broadcast moved by hand: takes, parts, segments, gaps and the end come when a test says so. What the
// packager would refuse (parts too long, numbers that differ) is the test's own affair.
import type {
  Coming,
  LiveBroadcast,
  LiveSettings,
  PackagedPart,
  PackagedPlaylist,
  PackagedRendition,
  PackagedSegment,
  PackagedTake,
} from '../../common/live/live-broadcast.ts'
import { PeakRates } from '../../common/live/peak-rates.ts'
import { renditionFor } from '../../common/live/presentation.ts'
import type { BroadcastFacts, LoggedRendition } from '../../common/live/segment-log.ts'
import { broadcast, standardRenditions } from './segment-logs.ts'

export interface ScriptedOptions {
  facts?: Partial<BroadcastFacts>
  settings?: Partial<LiveSettings>
  /** Complete segments that stay in memory. */
  keptSegments?: number
}

export interface ScriptedTake {
  renditions?: readonly LoggedRendition[]
  /** Where its media starts on the timeline; where the take before has ended, unless told. */
  startSeconds?: number
  isRegular?: boolean
  isComplete?: boolean
}

export interface ScriptedPart {
  /** The part target, unless told. */
  seconds?: number
  /** True for the first part of a segment, and for all of sound. */
  isIndependent?: boolean
  isGap?: boolean
  /** Bytes that name the part and its rendition, unless told. */
  bytes?: Buffer
  /** It has that many, and they are not here. */
  elsewhereBytes?: number
}

interface TakeState {
  take: PackagedTake
  /** By rendition name. */
  segments: Map<string, PackagedSegment[]>
}

const defaultSettings: LiveSettings = {
  targetDurationSeconds: 4,
  partTargetSeconds: 0.5,
  segmentSeconds: 2,
  windowSegments: 6,
}

/** Numbers of segments and parts that may be waited for before they are there. */
const numbersAhead = 2

export class ScriptedBroadcast implements LiveBroadcast {
  readonly facts: BroadcastFacts
  readonly peaks = new PeakRates()
  readonly #settings: LiveSettings
  readonly #keptSegments: number
  readonly #takes: TakeState[] = []
  readonly #nextPartIds = new Map<string, number>()
  readonly #listeners = new Set<() => void>()
  readonly #playlistNames: string[] = []
  #isEnded = false
  #version = 0
  #changesOpen = 0

  constructor({ facts, settings, keptSegments = 30 }: ScriptedOptions = {}) {
    this.facts = { ...broadcast, ...facts }
    this.#settings = { ...defaultSettings, ...settings }
    this.#keptSegments = keptSegments
  }

  /** Chosen as soon as there is a take. */
  get settings(): LiveSettings | undefined {
    return this.#takes.length > 0 ? this.#settings : undefined
  }

  get takes(): readonly PackagedTake[] {
    return this.#takes
      .filter((it, index) => index === this.#takes.length - 1 || hasSegments(it))
      .map((it) => it.take)
  }

  get isEnded(): boolean {
    return this.#isEnded
  }

  get version(): number {
    return this.#version
  }

  get playlistNames(): readonly string[] {
    return this.#playlistNames
  }

  /** Makes all changes inside one change. */
  change(steps: () => void): void {
    this.#changesOpen++
    try {
      steps()
    } finally {
      this.#changesOpen--
    }
    if (this.#changesOpen > 0) return
    this.#version++
    for (const listener of [...this.#listeners]) listener()
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Ends the take before, closes its segments, and begins the next one. */
  beginTake(options: ScriptedTake = {}): PackagedTake {
    const { renditions = standardRenditions, isRegular = true, isComplete = true } = options
    const before = this.#takes.at(-1)
    const number = this.facts.earlierTakes + this.#takes.length + 1
    const name = `${this.facts.broadcastTag}-${number}`
    const take: PackagedTake = {
      name,
      number,
      epoch: 1,
      firstNumber: this.facts.firstNumber,
      startSeconds: options.startSeconds ?? 10,
      endSeconds: undefined,
      isRegular,
      renditions: renditions.map((it, index) => packagedRendition(name, it, index + 1)),
      isComplete,
    }
    this.change(() => {
      if (before) {
        this.endTake()
        take.firstNumber = this.#nextNumber(before)
        take.startSeconds = options.startSeconds ?? before.take.endSeconds!
      }
      const segments = new Map(renditions.map((it) => [it.name, [] as PackagedSegment[]]))
      this.#takes.push({ take, segments })
      for (const { name } of renditions) {
        if (!this.#playlistNames.includes(name)) this.#playlistNames.push(name)
      }
    })
    return take
  }

  completeTake(): void {
    this.change(() => {
      this.#current().take.isComplete = true
    })
  }

  /** Closes what is open; nothing more comes in this take. */
  endTake(): void {
    const { take, segments } = this.#current()
    this.change(() => {
      this.closeSegments()
      if (take.endSeconds !== undefined) return
      const ends = [...segments.values()].flatMap((list) => list.slice(-1).map(endSeconds))
      take.endSeconds = Math.max(take.startSeconds, ...ends)
    })
  }

  end(): void {
    this.change(() => {
      if (this.#takes.length > 0) this.endTake()
      this.#isEnded = true
    })
  }

  /** Adds a part to one rendition of the newest take; opens a segment for it where none is open. */
  addPart(name: string, options: ScriptedPart = {}): PackagedPart {
    const rendition = this.#rendition(name)
    const { seconds = this.#settings.partTargetSeconds, isGap = false, elsewhereBytes } = options
    let part!: PackagedPart
    this.change(() => {
      const segment = this.#openSegment(rendition)
      const isFirst = segment.parts.length === 0
      const id = this.#nextPartIds.get(name) ?? 1
      this.#nextPartIds.set(name, id + 1)
      const bytes = options.bytes ?? Buffer.from(`${segment.take.name}/${name} part ${id};`)
      part = {
        id,
        startTicks: segment.startTicks + segment.durationTicks,
        durationTicks: Math.round(seconds * rendition.timescale),
        isIndependent: options.isIndependent ?? (!isGap && (isFirst || rendition.kind === 'audio')),
        isGap,
        bytes: isGap || elsewhereBytes !== undefined ? Buffer.alloc(0) : bytes,
        ...(elsewhereBytes !== undefined && { elsewhereBytes }),
      }
      segment.parts = [...segment.parts, part]
      segment.durationTicks += part.durationTicks
      segment.sizeBytes += elsewhereBytes ?? part.bytes.length
      if (isFirst && rendition.kind === 'video') {
        segment.keyframeBytes = Math.ceil(part.bytes.length / 2)
      }
    })
    return part
  }

  /** Adds parts of the target's length to every rendition, each round as one change. */
  addParts(rounds = 1): void {
    for (let i = 0; i < rounds; i++) {
      this.change(() => {
        for (const { name } of this.#current().take.renditions) this.addPart(name)
      })
    }
  }

  closeSegment(name: string): void {
    const open = this.#current().segments.get(name)?.at(-1)
    if (!open?.isOpen) return
    this.change(() => {
      open.isOpen = false
      this.#forgetUpTo(open.number - this.#keptSegments)
    })
  }

  closeSegments(): void {
    this.change(() => {
      for (const name of this.#current().segments.keys()) this.closeSegment(name)
    })
  }

  /** Adds whole segments to every rendition, part by part. */
  addSegments(count = 1): void {
    const { segmentSeconds, partTargetSeconds } = this.#settings
    const parts = Math.max(1, Math.round(segmentSeconds / partTargetSeconds))
    for (let i = 0; i < count; i++) {
      this.addParts(parts)
      this.closeSegments()
    }
  }

  /** Adds a segment without media to one rendition. */
  addGap(name: string, seconds: number = this.#settings.segmentSeconds): void {
    const rendition = this.#rendition(name)
    this.change(() => {
      this.closeSegment(name)
      const segment = this.#openSegment(rendition)
      segment.durationTicks = Math.round(seconds * rendition.timescale)
      segment.isGap = true
      this.closeSegment(name)
    })
  }

  /** Adds a segment without media to every rendition, as while a publisher is away. */
  addGaps(count = 1): void {
    for (let i = 0; i < count; i++) {
      this.change(() => {
        for (const { name } of this.#current().take.renditions) this.addGap(name)
      })
    }
  }

  playlist(name: string): PackagedPlaylist | undefined {
    if (!this.#playlistNames.includes(name)) return undefined
    const kind = this.#takes
      .flatMap((it) => it.take.renditions)
      .find((it) => it.name === name)!.kind
    const segments = this.#takes.flatMap((it) => segmentsFor(it, name, kind))
    const first = segments[0]
    const state = this.#takes.at(-1)
    const rendition = state && renditionFor(state.take, name)
    return {
      name,
      kind,
      segments,
      discontinuitySequence: first
        ? Math.max(0, first.take.number - 1 - (first.number === first.take.firstNumber ? 1 : 0))
        : this.facts.earlierTakes,
      next:
        state && rendition && state.take.endSeconds === undefined
          ? {
              partId: this.#nextPartIds.get(rendition.name) ?? 1,
              number: nextPartNumber(state, rendition.name),
              take: state.take,
              rendition,
            }
          : undefined,
    }
  }

  segment(take: string, rendition: string, number: number): PackagedSegment | undefined {
    return this.#state(take)
      ?.segments.get(rendition)
      ?.find((it) => it.number === number)
  }

  part(take: string, rendition: string, id: number): PackagedPart | undefined {
    return this.#state(take)
      ?.segments.get(rendition)
      ?.flatMap((it) => it.parts)
      .find((it) => it.id === id)
  }

  take(name: string): PackagedTake | undefined {
    return this.#state(name)?.take
  }

  expects(take: string, rendition: string, number: number): Coming {
    const there = this.segment(take, rendition, number)
    if (there) return { kind: there.isGap ? 'absent' : 'here' }
    const state = this.#state(take)
    const list = state?.segments.get(rendition)
    if (!state || !list || state.take.endSeconds !== undefined) return { kind: 'absent' }
    const last = list.at(-1)?.number ?? state.take.firstNumber - 1
    return { kind: number > last && number <= last + numbersAhead ? 'coming' : 'absent' }
  }

  expectsPart(take: string, rendition: string, id: number): Coming {
    const there = this.part(take, rendition, id)
    if (there) return { kind: there.isGap ? 'absent' : 'here' }
    const state = this.#state(take)
    if (!state?.segments.has(rendition) || state.take.endSeconds !== undefined) {
      return { kind: 'absent' }
    }
    const next = this.#nextPartIds.get(rendition) ?? 1
    return { kind: id >= next && id < next + numbersAhead ? 'coming' : 'absent' }
  }

  #state(take: string): TakeState | undefined {
    return this.#takes.find((it) => it.take.name === take)
  }

  #current(): TakeState {
    const state = this.#takes.at(-1)
    if (!state) throw new Error('begin a take first')
    return state
  }

  #rendition(name: string): PackagedRendition {
    const { take } = this.#current()
    const rendition = take.renditions.find((it) => it.name === name)
    if (!rendition) throw new Error(`take ${take.name} has no ${name}`)
    if (take.endSeconds !== undefined) throw new Error(`take ${take.name} has ended`)
    return rendition
  }

  #forgetUpTo(number: number): void {
    for (const { segments } of this.#takes) {
      for (const list of segments.values()) {
        while (list[0] && list[0].number <= number) list.shift()
      }
    }
  }

  #nextNumber({ take, segments }: TakeState): number {
    return Math.max(take.firstNumber, ...[...segments.values()].map((it) => numberAfter(it) ?? 0))
  }

  #openSegment(rendition: PackagedRendition): PackagedSegment {
    const { take, segments } = this.#current()
    const list = segments.get(rendition.name)!
    const last = list.at(-1)
    if (last?.isOpen) return last
    const segment: PackagedSegment = {
      number: numberAfter(list) ?? take.firstNumber,
      take,
      rendition,
      startTicks: last
        ? last.startTicks + last.durationTicks
        : Math.round(take.startSeconds * rendition.timescale),
      durationTicks: 0,
      parts: [],
      isOpen: true,
      isGap: false,
      sizeBytes: 0,
      keyframeBytes: 0,
    }
    list.push(segment)
    return segment
  }
}

function hasSegments({ segments }: TakeState): boolean {
  return [...segments.values()].some((list) => list.length > 0)
}

function numberAfter(list: readonly PackagedSegment[]): number | undefined {
  const last = list.at(-1)
  return last && last.number + 1
}

function nextPartNumber({ take, segments }: TakeState, rendition: string): number {
  const last = segments.get(rendition)!.at(-1)
  if (!last) return take.firstNumber
  return last.isOpen ? last.number : last.number + 1
}

function endSeconds({ startTicks, durationTicks, rendition }: PackagedSegment): number {
  return (startTicks + durationTicks) / rendition.timescale
}

/** Of the rendition that serves the name; where a take has none, gaps as long as its pictures. */
function segmentsFor(
  { take, segments }: TakeState,
  name: string,
  kind: 'video' | 'audio',
): readonly PackagedSegment[] {
  const rendition = renditionFor(take, name)
  if (rendition) return segments.get(rendition.name)!
  const leader = segments.get(take.renditions[0]!.name)!
  return leader
    .filter((it) => !it.isOpen)
    .map((it) => ({
      ...it,
      rendition: { ...it.rendition, name, kind },
      parts: [],
      isGap: true,
      sizeBytes: 0,
      keyframeBytes: 0,
    }))
}

function packagedRendition(
  take: string,
  rendition: LoggedRendition,
  trackId: number,
): PackagedRendition {
  const { kind, timescale, codec, width, height, sampleRate, channels } = rendition
  return {
    ...rendition,
    init: Buffer.from(`${take}/${rendition.name} init;`),
    track: {
      kind,
      trackId,
      timescale,
      codec,
      width,
      height,
      sampleRate,
      channels,
      defaults: { durationTicks: 0, sizeBytes: 0, flags: 0 },
    },
  }
}
