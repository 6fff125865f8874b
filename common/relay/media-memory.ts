// What a publisher has sent and a next hop may need again: groups of pictures, each with the headers that held
// at its start, and a cursor at what the present upstream gets next.
//
// Rules: a group opens at a video keyframe; where no picture comes, at sound, once a second. Messages that stand
// before any such start are in a loose group: it serves an upstream that has had everything before, never a new
// one. Over the bounds the oldest whole group goes, and its frames count as lost when the present upstream had
// not had them, or when the next one would have needed them. No clock and no socket: time comes with the media.
import { readAudioTag } from '../../media/flv/audio-tag.ts'
import { readVideoTag } from '../../media/flv/video-tag.ts'
import type { MediaMessage } from '../../media/rtmp/message.ts'
import { earlySounds, reorderMs } from './early-sounds.ts'

export interface MemoryLimits {
  maxMs: number
  maxBytes: number
  /** Of a stream without pictures so much is kept whatever the next hop says. */
  audioOnlyMs: number
}

export interface MemoryOptions {
  limits: MemoryLimits
  onLost(frames: number): void
  /** By how much the memory has grown or shrunk. */
  onBytes(delta: number): void
}

export const relayMemoryLimits: MemoryLimits = {
  maxMs: 20_000,
  maxBytes: 32 * 1024 * 1024,
  audioOnlyMs: 4_000,
}

/** What a message takes beside its payload. */
export const messageOverheadBytes = 256
const soundGroupMs = 1_000
const onMetaData = Buffer.from('02000a6f6e4d65746144617461', 'hex')

type Role = 'keyframe' | 'frame' | 'header' | 'other'

interface Kept {
  message: MediaMessage
  /** Counts messages from the first. */
  order: number
  /** The message's timestamp, unwrapped. */
  ms: number
  arrivedMs: number
  isFrame: boolean
}

interface Headers {
  data?: MediaMessage
  video?: MediaMessage
  audio?: MediaMessage
}

interface Group {
  opensAt: 'keyframe' | 'sound' | 'nothing'
  headers: Headers
  /** Frames of the group before that belong behind this group's start by their time. */
  early: readonly Kept[]
  kept: Kept[]
  bytes: number
  startMs: number
  newestMs: number
  /** Where the group stands on a line that only grows, however the publisher's clock jumps. */
  startAtMs: number
}

export class MediaMemory {
  readonly #options: MemoryOptions
  readonly #groups: Group[] = []
  #headers: Headers = {}
  #order = 0
  #bytes = 0
  #newestMs: number | undefined
  #newestVideoMs: number | undefined
  #atMs = 0
  #atNewestMs = 0
  /** The cursor: a group, a place in it, and what goes before that. */
  #group = 0
  #index = 0
  #lead: Kept[] = []
  #readOrder = -1
  /** The present upstream can begin only where a group does, and none is there. */
  #awaitsGroup = false
  /** True once a next hop has said what it needs. */
  #isNeedKnown = false
  /** Frames that went to the present upstream, are still needed, and have had to be dropped. */
  #forgotten = 0

  constructor(options: MemoryOptions) {
    this.#options = options
  }

  get bytes(): number {
    return this.#bytes
  }

  get spanMs(): number {
    const first = this.#groups[0]
    return first ? this.#atMs - first.startAtMs : 0
  }

  /** Timestamp of the newest frame, as the publisher wrote it. */
  get newestTimestampMs(): number | undefined {
    return this.#newestMs === undefined ? undefined : this.#newestMs >>> 0
  }

  /** What a replay would begin with. */
  get start(): { timestampMs: number; arrivedMs: number } | undefined {
    const first = this.#groups.find((group) => group.opensAt !== 'nothing')?.kept[0]
    return first && { timestampMs: first.message.timestampMs, arrivedMs: first.arrivedMs }
  }

  push(message: MediaMessage, arrivedMs: number): void {
    const role = roleOf(message)
    const isFrame = role === 'frame' || role === 'keyframe'
    const ms = this.#unwrap(message.timestampMs)
    if (role === 'header') this.#headers = { ...this.#headers, [message.kind]: message }
    const kept: Kept = { message, order: this.#order++, ms, arrivedMs, isFrame }
    if (isFrame) this.#travelTo(ms)
    const group = this.#groupFor(kept, role)
    if (group.kept.length === 0) group.startAtMs = this.#atMs
    group.kept.push(kept)
    this.#grow(group, sizeOf(kept))
    if (isFrame) group.newestMs = Math.max(group.newestMs, ms)
    if (message.kind === 'video') this.#newestVideoMs = ms
    if (this.#awaitsGroup && group.opensAt !== 'nothing') this.#beginAtLast()
    const { maxMs, maxBytes } = this.#options.limits
    while (this.spanMs > maxMs || this.#bytes > maxBytes) if (!this.dropOldest()) break
  }

  /** Forgets the groups that nobody needs any more: those before the one that holds this timestamp. */
  neededFrom(timestampMs: number): void {
    const newestMs = this.#newestMs
    if (newestMs === undefined) return
    const ms = newestMs + ((timestampMs - newestMs) | 0)
    const found = this.#groups.findIndex((group, index) =>
      holds(group, this.#groups[index + 1], ms),
    )
    this.#isNeedKnown = true
    if (found < 0) return
    this.#forgotten = 0
    const past = Math.min(found, this.#group, this.#lastNeeded())
    for (let count = 0; count < past; count++) this.#removeFirst()
    this.#group -= past
  }

  /** A new upstream: begins with the oldest group that can be begun with. */
  rewind(): void {
    this.#lose(this.#forgotten)
    this.#forgotten = 0
    if (this.#groups[0]?.opensAt === 'nothing') {
      const early = new Set(this.#groups[1]?.early)
      this.#lose(this.#unread(0).filter((kept) => !early.has(kept)).length)
      this.#removeFirst()
    }
    this.#begin(-1)
  }

  /** The next message for the present upstream; undefined when it has had all. */
  next(): MediaMessage | undefined {
    const lead = this.#lead.shift()
    if (lead) return this.#read(lead)
    for (;;) {
      const group = this.#groups[this.#group]
      if (!group || this.#awaitsGroup) return undefined
      const kept = group.kept[this.#index]
      if (kept) {
        this.#index++
        // Nothing of a loose group is ever sent again.
        if (group.opensAt === 'nothing' && this.#index === group.kept.length) this.#empty(group)
        return this.#read(kept)
      }
      if (this.#group === this.#groups.length - 1) return undefined
      this.#group++
      this.#index = 0
    }
  }

  /** Drops the oldest whole group, counting what is lost by it. False: there is nothing to drop. */
  dropOldest(): boolean {
    const group = this.#groups[0]
    if (!group || (group.bytes === 0 && this.#groups.length === 1)) return false
    const isAtCursor = this.#group === 0
    const isLast = this.#groups.length === 1
    const carried = isLast ? this.#takeNewestUnread(group) : undefined
    const unread = isAtCursor ? this.#unread(0) : []
    const isCut = isAtCursor && (this.#lead.length > 0 || this.#index < group.kept.length)
    const early = new Set(this.#groups[1]?.early)
    this.#lose(unread.filter((kept) => !early.has(kept)).length)
    if (this.#isNeedKnown && group.opensAt !== 'nothing') {
      const read = new Set([...group.kept, ...group.early].filter((kept) => kept.isFrame))
      for (const kept of [...unread, ...early]) read.delete(kept)
      this.#forgotten += read.size
    }
    this.#removeFirst()
    if (isLast) this.#openLoose(group.newestMs, carried)
    if (!isAtCursor) this.#group--
    else if (isCut) this.#begin(this.#readOrder)
    else this.#index = 0
    return true
  }

  /** An upstream that has had all but the newest message gets that one too: for it, nothing is missing. */
  #takeNewestUnread(group: Group): Kept | undefined {
    const isAll = this.#lead.length === 0 && this.#index === group.kept.length - 1
    if (!isAll || group.kept.length < 2) return undefined
    const newest = group.kept.pop()!
    this.#grow(group, -sizeOf(newest))
    return newest
  }

  clear(): void {
    while (this.#groups.length > 0) this.#removeFirst()
    this.#lead = []
    this.#group = 0
    this.#index = 0
  }

  #read(kept: Kept): MediaMessage {
    this.#readOrder = Math.max(this.#readOrder, kept.order)
    return kept.message
  }

  /** Puts the cursor at the first group's start, leaving out what the upstream has had: up to `readOrder`. */
  #begin(readOrder: number): void {
    const group = this.#groups[0]
    this.#readOrder = readOrder
    this.#group = 0
    this.#index = 0
    this.#lead = []
    this.#awaitsGroup = !group || group.opensAt === 'nothing'
    const first = group?.kept[0]
    if (this.#awaitsGroup || !group || !first) return
    const { timestampMs } = first.message
    const { data, video, audio } = group.headers
    for (const header of [data, video, audio]) {
      if (!header) continue
      // Headers were written at other times; here they belong to the frame behind them.
      this.#lead.push({ ...first, message: { ...header, timestampMs }, order: -1, isFrame: false })
    }
    this.#lead.push(first, ...group.early.filter((kept) => kept.order > readOrder))
    this.#index = 1
  }

  /** Frames of a group at or behind the cursor that the present upstream has not had. */
  #unread(at: number): Kept[] {
    const group = this.#groups[at]
    if (!group || at < this.#group) return []
    return [...this.#lead, ...group.kept.slice(this.#index)].filter((kept) => kept.isFrame)
  }

  #groupFor(kept: Kept, role: Role): Group {
    const last = this.#groups.at(-1)
    if (role === 'keyframe') return this.#open('keyframe', kept.ms, this.#earlyFor(last, kept.ms))
    const isSound =
      role === 'frame' && kept.message.kind === 'audio' && this.#isWithoutPictures(kept)
    const isDue = last?.opensAt !== 'sound' || Math.abs(kept.ms - last.startMs) >= soundGroupMs
    if (isSound && isDue) return this.#open('sound', kept.ms)
    return last ?? this.#open('nothing', kept.ms)
  }

  #isWithoutPictures({ ms }: Kept): boolean {
    const { audioOnlyMs } = this.#options.limits
    return this.#newestVideoMs === undefined || Math.abs(ms - this.#newestVideoMs) > audioOnlyMs
  }

  #earlyFor(last: Group | undefined, ms: number): readonly Kept[] {
    const sounds = [...(last?.early ?? []), ...(last?.kept ?? [])].filter(
      (kept) => kept.isFrame && kept.message.kind === 'audio',
    )
    return earlySounds(sounds, ms)
  }

  #open(opensAt: Group['opensAt'], startMs: number, early: readonly Kept[] = []): Group {
    const group: Group = {
      opensAt,
      headers: this.#headers,
      early,
      kept: [],
      bytes: 0,
      startMs,
      newestMs: startMs,
      startAtMs: this.#atMs,
    }
    this.#groups.push(group)
    for (const kept of early) this.#grow(group, sizeOf(kept))
    return group
  }

  /** The start has come that the present upstream was waiting for. */
  #beginAtLast(): void {
    const early = new Set(this.#groups.at(-1)!.early)
    while (this.#groups.length > 1) {
      const past = this.#groups[0]!.kept.filter((kept) => kept.isFrame && !early.has(kept))
      this.#lose(past.length)
      this.#removeFirst()
    }
    this.#begin(this.#readOrder)
  }

  #openLoose(startMs: number, first: Kept | undefined): void {
    const group = this.#open('nothing', startMs)
    if (!first) return
    group.kept.push(first)
    this.#grow(group, sizeOf(first))
  }

  #empty(group: Group): void {
    if (this.#isNeedKnown) this.#forgotten += group.kept.filter((kept) => kept.isFrame).length
    this.#grow(group, -group.bytes)
    group.kept = []
    this.#index = 0
  }

  #removeFirst(): void {
    const group = this.#groups.shift()
    if (group) this.#grow(group, -group.bytes)
  }

  /** The newest group that must be kept whatever the next hop says. */
  #lastNeeded(): number {
    const sinceMs = this.#atMs - this.#options.limits.audioOnlyMs
    const isEnough = (group: Group) => group.opensAt !== 'sound' || group.startAtMs <= sinceMs
    return Math.max(0, this.#groups.findLastIndex(isEnough))
  }

  #grow(group: Group, delta: number): void {
    group.bytes += delta
    this.#bytes += delta
    this.#options.onBytes(delta)
  }

  #lose(frames: number): void {
    if (frames > 0) this.#options.onLost(frames)
  }

  #unwrap(timestampMs: number): number {
    if (this.#newestMs === undefined) return timestampMs
    return this.#newestMs + ((timestampMs - this.#newestMs) | 0)
  }

  #travelTo(ms: number): void {
    const isRestart = ms < this.#atNewestMs - reorderMs
    if (this.#newestMs !== undefined && !isRestart) this.#atMs += Math.max(0, ms - this.#atNewestMs)
    if (this.#newestMs === undefined || isRestart || ms > this.#atNewestMs) this.#atNewestMs = ms
    this.#newestMs = ms
  }
}

/** Whether a timestamp is one of this group's; the one that stands in a pause belongs to the group before it. */
function holds(group: Group, next: Group | undefined, ms: number): boolean {
  if (group.opensAt === 'nothing' || ms < group.startMs) return false
  // Of two that open at one time, the earlier.
  if (!next || ms === group.startMs) return true
  return next.startMs < group.startMs ? ms <= group.newestMs : ms < next.startMs
}

function sizeOf({ message }: Kept): number {
  return message.payload.length + messageOverheadBytes
}

/** True for what is heard or seen: neither headers nor data. */
export function isFrame(message: MediaMessage): boolean {
  const role = roleOf(message)
  return role === 'frame' || role === 'keyframe'
}

function roleOf({ kind, payload }: MediaMessage): Role {
  if (kind === 'data') return payload.indexOf(onMetaData) === 0 ? 'header' : 'other'
  const tag = kind === 'video' ? readVideoTag(payload) : readAudioTag(payload)
  if ('fault' in tag) return 'other'
  if (tag.value.packet === 'sequence-header') return 'header'
  if (tag.value.packet !== 'frames') return 'other'
  return 'isKeyframe' in tag.value && tag.value.isKeyframe ? 'keyframe' : 'frame'
}
