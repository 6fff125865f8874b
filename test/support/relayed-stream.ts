// A publisher's stream between the relay that remembers it, transcoder jobs one after the other, and the home that
// hears of them: all of a takeover but the network, on a turned clock.
import { PassThrough } from 'node:stream'
import type { PublishTicket } from '../../common/contract/placement.ts'
import { type ResumePoint, resumePointSchema } from '../../common/contract/resume-point.ts'
import type { FeedFrame } from '../../common/live/feed-frames.ts'
import { SegmentLog } from '../../common/live/segment-log.ts'
import { silentLogger } from '../../common/log.ts'
import { MediaMemory, relayMemoryLimits } from '../../common/relay/media-memory.ts'
import type { Ladder } from '../../config/ladder.ts'
import type { ResolvedTranscoderConfig } from '../../config/load.ts'
import { flvHeader, flvTag } from '../../media/flv/tag-writer.ts'
import { FragmentReader } from '../../media/mp4/fragment-reader.ts'
import type { MediaMessage } from '../../media/rtmp/message.ts'
import { BroadcastFolder } from '../../origin/archive/broadcast-folder.ts'
import { HomeBroadcast } from '../../origin/gateway/home/home-broadcast.ts'
import { FeedWriter } from '../../origin/transcoder/feed-writer.ts'
import type { ReceivedStream } from '../../origin/transcoder/rtmp-receiver.ts'
import { StreamJob } from '../../origin/transcoder/stream-job.ts'
import { FakeClock, settle } from './fake-clock.ts'
import type { Clip } from './publisher-clips.ts'
import { broadcast } from './segment-logs.ts'
import { transcoderConfig } from './transcoder-rig.ts'

/** Nothing is encoded. */
export const sourceOnly: Ladder = {
  name: 'source',
  rungs: [],
  audioBitsPerSecond: 96_000,
  preset: 'ultrafast',
}
/** Nobody is asked. */
const nobody = { coordinator: 'http://127.0.0.1:9', secret: 'ncs_for_tests_only_0123456789abcdef' }
const none = Buffer.alloc(0)
const stepMs = 50

export interface ListedSample {
  take: string
  dts: number
  data: string
}

interface Holder {
  job: StreamJob
  epoch: number
  pipe: PassThrough
  hasUnpublished: boolean
  isAttached: boolean
}

export class RelayedStream implements AsyncDisposable {
  readonly #progressMs: number
  readonly clock = new FakeClock(broadcast.startedAtMs)
  readonly home: HomeBroadcast
  /** What the home was told and did not believe. */
  readonly refused: object[] = []
  /** What the publisher was told. */
  readonly refusals: string[] = []
  /** Frames that the relay could not keep. */
  lost = 0
  #memory = this.#newMemory()
  #connection = 1
  #epoch = 0
  #takes = 0
  #toldMs = 0
  #allowance = Infinity
  #holder: Holder | undefined

  private constructor(progressMs: number) {
    this.#progressMs = progressMs
    this.home = new HomeBroadcast({
      facts: broadcast,
      onRefused: (what) => this.refused.push(what),
    })
  }

  /** So often, as relays are told how far their media has been taken. */
  static async publish({ progressMs = 500, ladder = sourceOnly } = {}): Promise<RelayedStream> {
    const stream = new RelayedStream(progressMs)
    await stream.place({ ladder })
    return stream
  }

  /** Where a next transcoder would go on, as it is told. */
  get point(): ResumePoint | undefined {
    const point = this.home.resumePoint
    return point && resumePointSchema.parse(JSON.parse(JSON.stringify(point)))
  }

  /** The holder dies; what is sent from now on waits in the relay. */
  kill(): void {
    const dead = this.#holder!
    this.#holder = undefined
    this.#takes = Math.max(this.#takes, dead.job.renewal().takes)
    void dead.job.end('lease-lost')
  }

  /** A transcoder goes on from what the home knows, and gets what the relay has kept. */
  async place(how: { isTold?: boolean; isPublished?: boolean; ladder?: Ladder } = {}) {
    const { isTold = true, isPublished = true, ladder = sourceOnly } = how
    const { point } = this
    const isOurs = point?.connection === `connection-${this.#connection}`
    const left = isTold && isOurs ? point : undefined
    const epoch = ++this.#epoch
    const ticket = this.#ticket(epoch)
    const config = transcoderConfig('/nowhere', { windowSegments: 60, cluster: nobody })
    const job = new StreamJob({
      ...{ ticket, left, ladder, clock: this.clock, log: silentLogger },
      folder: new BroadcastFolder('/nowhere', new SegmentLog(this.#factsFor(left))),
      config: { ...config, ladder } as ResolvedTranscoderConfig,
      guard: { wrap: (command, args) => [command, [...args]], kinds: [] },
      lease: {
        renewLease: async () => ({ outcome: 'held', epoch, stop: false }),
        releaseLease: async () => {},
      },
      metrics: new Proxy({} as never, { get: () => () => {} }),
      letGo: () => {},
      onQuarantined: () => {},
      onEnded: () => {},
    })
    job.start()
    this.#holder = { job, epoch, pipe: new PassThrough(), hasUnpublished: false, isAttached: false }
    this.#tellHome(this.#holder)
    if (isPublished) await this.#attach()
  }

  /** Of the relay's memory the holder gets so many messages, and no more. */
  async replay(messages: number): Promise<void> {
    this.#allowance = messages
    await this.#attach()
    this.#allowance = Infinity
  }

  /** The publisher sends each when it is due, or all at once where the holder is away. */
  async send(messages: Clip): Promise<void> {
    for (let at = 0; at < messages.length; ) {
      const dueMs = messages[at]!.dueMs
      await this.turnTo(dueMs)
      for (; at < messages.length && messages[at]!.dueMs < dueMs + stepMs; at++) {
        const { dueMs: _, ...message } = messages[at]!
        this.#memory.push(message, this.clock.monotonic())
      }
      await this.#pump()
    }
  }

  async turnTo(ms: number): Promise<void> {
    const aheadMs = ms - this.clock.monotonic()
    if (aheadMs > 0) await this.clock.advance(aheadMs)
  }

  /** The publisher leaves, and another one comes. */
  async comeBack(): Promise<void> {
    const holder = this.#holder!
    holder.hasUnpublished = true
    holder.pipe.end()
    await settle()
    await settle()
    this.#connection++
    this.#memory = this.#newMemory()
    this.#holder = { ...holder, pipe: new PassThrough(), hasUnpublished: false, isAttached: false }
    await this.#attach()
  }

  /** The publisher has left for good. */
  async end(): Promise<void> {
    await this.#holder!.job.end('publisher-left')
  }

  /** By rendition name, in the order of playback. */
  listed(): Record<string, ListedSample[]> {
    const entries = this.home.playlistNames.map((name) => {
      const segments = this.home.playlist(name)?.segments ?? []
      const samples = segments.flatMap(({ take, rendition, parts, isGap }) => {
        const bytes = parts.flatMap((it) => (it.isGap ? [] : [it.bytes]))
        if (isGap || bytes.length === 0) return []
        const read = new FragmentReader().push(Buffer.concat([rendition.init, ...bytes]))
        if ('fault' in read) throw new Error(read.fault)
        return read.value.flatMap((event) => {
          if (event.kind !== 'sample') return []
          const { dts, data } = event.sample
          return [{ take: take.name, dts, data: data.toString('hex') }]
        })
      })
      return [name, samples]
    })
    return Object.fromEntries(entries) as Record<string, ListedSample[]>
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#holder?.job.end('stopped')
  }

  #newMemory(): MediaMemory {
    return new MediaMemory({
      limits: relayMemoryLimits,
      onLost: (frames) => {
        this.lost += frames
      },
      onBytes: () => {},
    })
  }

  #ticket(epoch: number): PublishTicket {
    const { broadcastId, liveId, broadcastTag, startedAtMs } = broadcast
    return {
      ...{ broadcastId, liveId, broadcastTag, epoch, broadcastStartedAt: startedAtMs },
      nonce: `nonce-${epoch}-${this.#connection}`,
      connection: `connection-${this.#connection}`,
      transcoder: `tc-${epoch}`,
      instance: instanceOf(epoch),
      record: false,
      takes: this.#takes,
    }
  }

  /** As a transcoder that knows nothing of the broadcast but its ticket numbers it. */
  #factsFor(left: ResumePoint | undefined) {
    const open = left?.packaging.openTakes?.[0]?.timeline?.cuts[0]?.number
    const elapsed = Math.ceil(this.clock.monotonic() / 1000)
    const fresh = this.#takes === 0 ? 1 : Math.ceil(1.2 * elapsed) + this.#takes + 1
    const earlierTakes = this.#takes
    return { ...broadcast, isRecorded: false, firstNumber: open ?? fresh, earlierTakes }
  }

  async #attach(): Promise<void> {
    const holder = this.#holder!
    const { pipe, job, epoch } = holder
    const { start } = this.#memory
    const stream: Omit<ReceivedStream, 'media'> = {
      pipe: `pipe-${epoch}-${this.#connection}`,
      firstReachedMs: start?.arrivedMs,
      hasUnpublished: () => holder.hasUnpublished,
      refuse: ({ code }) => {
        if (this.#holder === holder) this.refusals.push(code)
        pipe.end()
      },
      drop: () => pipe.end(),
    }
    holder.isAttached = true
    pipe.write(flvHeader({ audio: true, video: true }))
    job.attach({ ...stream, media: pipe } as unknown as ReceivedStream, this.#ticket(epoch))
    this.#memory.rewind()
    await this.#pump()
  }

  async #pump(): Promise<void> {
    const holder = this.#holder
    if (!holder?.isAttached) return
    const { pipe, job } = holder
    const next = () => (this.#allowance-- > 0 ? this.#memory.next() : undefined)
    for (let it: MediaMessage | undefined = next(); it; it = next()) {
      pipe.write(Buffer.concat(flvTag(it)))
    }
    while (pipe.readableLength > 0 || pipe.writableLength > 0) await settle()
    await settle()
    const told = job.progress
    const isDue = this.clock.monotonic() - this.#toldMs >= this.#progressMs
    if (!told || !isDue) return
    this.#toldMs = this.clock.monotonic()
    this.#memory.neededFrom(this.point?.input.entry.timestampMs ?? told.neededMs)
  }

  #tellHome({ job, epoch }: Holder): void {
    const { broadcast: made } = job
    const from = { epoch, instance: instanceOf(epoch) }
    const writer = new FeedWriter(made, () => job.resumePoint)
    const accept = (frame: FeedFrame) => {
      const verdict = this.home.accept(frame, from)
      if (verdict !== 'accepted') throw new Error(`${JSON.stringify(frame.head)}: ${verdict}`)
    }
    const next = () => {
      if (this.#holder?.job !== job) return
      const { bodies, change } = writer.next()
      for (const body of bodies) accept({ head: { kind: 'body' }, body })
      accept({ head: change, body: none })
    }
    accept({ head: { kind: 'open', ...from, facts: made.facts }, body: none })
    next()
    made.onChange(next)
  }
}

function instanceOf(epoch: number): string {
  return `00000000-0000-4000-8000-${String(epoch).padStart(12, '0')}`
}
