// One publisher: ends its RTMP session, publishes the same media to the next hop, passes answers back.
// The same class serves in the edge (next hop: a gateway) and in the gateway (next hop: a transcoder).
//
// Life: greeting → opening (the publish is known, the next hop is being asked) → live → ended.
// With a memory the publisher's socket is read without a pause, however its way up fares; without one it waits
// for its next hop, and goes when that goes.
// Two gates: a refusal before the start is an answer that encoders show; one after it is a status that OBS
// does not read, so the socket is destroyed half a second later and the verdict remembered by the owner.
import type { Duplex } from 'node:stream'
import { classicMedia } from '../../media/flv/classic-media.ts'
import type { MediaMessage } from '../../media/rtmp/message.ts'
import {
  RtmpServerSession,
  type ServerEvent,
  type StatusInfo,
} from '../../media/rtmp/server-session.ts'
import type { Clock, Timer } from '../clock.ts'
import { type Refusal, refusal, statusCodeOf, statusDescription } from '../contract/refusal.ts'
import { messageOf } from '../errors.ts'
import type { Logger } from '../log.ts'
import type { Gather } from './gather.ts'
import type { Road } from './road.ts'
import { SingleRoad } from './single-road.ts'
import type { UpstreamOutcome } from './upstream-publisher.ts'
import {
  type Attempt,
  type RoadOutcome,
  UpstreamRoad,
  type UpstreamRoadOptions,
} from './upstream-road.ts'

export interface PublishIntent {
  /** Stream name without its query: at an edge the stream key. */
  name: string
  query: string
}

export interface RelayLimits {
  /** From the first byte to a publish. */
  publishTimeoutMs: number
  /** A live publisher that sends neither media nor a command for so long is gone: pings keep no place. */
  idleTimeoutMs: number
}

export type RelayOptions = RelayBasics & (OneHop | ManyHops)

interface OneHop {
  memory?: undefined
  /** Gate one: decides and opens the next hop. Must not reject. */
  openUpstream(intent: PublishIntent, signal: AbortSignal): Promise<UpstreamOutcome>
}

interface ManyHops {
  /** What lets the publisher outlive its next hop. */
  memory: RelayMemory
  /** Asked for the first next hop, gate one, and for every further one. Must not reject. */
  openUpstream(intent: PublishIntent, signal: AbortSignal, attempt: Attempt): Promise<RoadOutcome>
}

export type RelayMemory = Omit<UpstreamRoadOptions, 'open' | 'onRefused' | 'clock'> & {
  /** The publisher is a relay itself: when it leaves without a word it goes on elsewhere, and so does the publish. */
  isRelayed: boolean
}

interface RelayBasics {
  socket: Duplex
  /** Shared by all publishers whose media may wait for each other; without it media is read as it comes. */
  gather?: Gather | undefined
  clock: Clock
  log: Logger
  limits: RelayLimits
  /** Called once for every refusal, before and after the start. */
  onRefused(refused: Refusal, stage: 'before-start' | 'after-start'): void
  onLive(): void
  onMedia?(message: MediaMessage): void
}

export interface RelayEnd {
  reason: string
  wasLive: boolean
  bytesIn: number
  liveMs: number
}

const statusLeadMs = 500
/** Longer than media that has come waits to be read. */
const lookAgainMs = 100
/** `live`, also with the slash or query that some encoders leave at its end. */
const applicationForm = /^live\/?(\?.*)?$/
const pendingLimitBytes = 1024 * 1024
/** More is read at once. */
const gatheredLimitBytes = 128 * 1024

export class PublishRelay {
  readonly #options: RelayOptions
  readonly #socket: Duplex
  readonly #session = new RtmpServerSession({ checkConnect: ({ app }) => this.#checkApp(app) })
  readonly #aborted = new AbortController()
  readonly #done = Promise.withResolvers<RelayEnd>()
  readonly #timers = new Set<Timer>()
  #state: 'greeting' | 'opening' | 'live' | 'refused' | 'ended' = 'greeting'
  #streamId = 0
  #road: Road | undefined
  /** Media of an encoder that does not wait for the start; bounded. */
  #pending: MediaMessage[] = []
  #pendingBytes = 0
  readonly #readGathered = () => this.#read()
  #membership: Disposable | undefined
  #gathered: Buffer[] = []
  #gatheredBytes = 0
  #bytesIn = 0
  #wasLive = false
  #hasUnpublished = false
  #liveSince = 0
  #lastHeardAt = 0
  /** Why we are letting the publisher go; holds whoever closes first. */
  #leaving: string | undefined

  constructor(options: RelayOptions) {
    this.#options = options
    this.#socket = options.socket
  }

  /** Received of the publisher so far. */
  get bytesIn(): number {
    return this.#bytesIn
  }

  /** Runs until the publisher is gone; never rejects. */
  run(): Promise<RelayEnd> {
    const { clock, limits } = this.#options
    this.#after(limits.publishTimeoutMs, () => {
      if (this.#state === 'greeting') this.#refuse(refusal('too-slow'))
    })
    this.#lastHeardAt = clock.monotonic()
    const left = (reason: string) => {
      // What came before that may be its farewell.
      this.#read()
      this.#end(reason)
    }
    this.#socket.on('data', (bytes: Buffer) => this.#receive(bytes))
    this.#socket.on('error', (err: Error) => left(messageOf(err)))
    this.#socket.on('end', () => left('publisher closed the connection'))
    this.#socket.on('close', () => left('publisher closed the connection'))
    return this.#done.promise
  }

  /** Asks for another next hop, while the present one serves. */
  move(): void {
    this.#road?.move()
  }

  /** Tells the publisher why and lets it go. */
  close(reason: Refusal): void {
    this.#refuse(reason)
    // Of one that has left, something may still be on its way up.
    this.#road?.destroy()
  }

  /**
   * As `close`, but all that came before goes up, and the publish ends there as if the publisher had left. `isHurried`: it
   * goes up if there is a next hop.
   */
  dismiss(reason: Refusal, isHurried: boolean): void {
    this.#refuse(reason, () => void this.#road?.finish(isHurried))
  }

  #receive(bytes: Buffer): void {
    this.#gathered.push(bytes)
    this.#gatheredBytes += bytes.length
    const { gather } = this.#options
    if (gather && this.#state === 'live' && this.#gatheredBytes < gatheredLimitBytes) {
      gather.add(this.#readGathered)
    } else this.#read()
  }

  #read(): void {
    const gathered = this.#gathered
    if (gathered.length === 0) return
    this.#gathered = []
    this.#bytesIn += this.#gatheredBytes
    this.#gatheredBytes = 0
    let writable = true
    for (const bytes of gathered) {
      const events = this.#session.receive(bytes)
      if (events.length > 0) this.#lastHeardAt = this.#options.clock.monotonic()
      for (const event of events) writable = this.#handle(event) && writable
    }
    this.#flush()
    if (!writable) this.#socket.pause()
  }

  /** False: the next hop takes no more for now. */
  #handle(event: ServerEvent): boolean {
    // What was read together with a farewell.
    if (this.#state === 'ended') return true
    switch (event.type) {
      case 'publish':
        if (this.#state === 'greeting') void this.#open(event)
        return true
      case 'media':
        return this.#normalize(event.message)
      case 'unpublish':
        this.#hasUnpublished = true
        this.#end('unpublished')
        return true
      case 'error':
        if (this.#state === 'refused') return true
        if (event.error.reason !== 'app-refused') {
          this.#options.onRefused(
            refusal('protocol-error', `The encoder sent invalid RTMP: ${event.error.message}.`),
            this.#state === 'live' ? 'after-start' : 'before-start',
          )
        }
        this.#leaveSoon(`protocol error: ${event.error.reason}`)
        return true
      default:
        return true
    }
  }

  #checkApp(app: string): StatusInfo | undefined {
    if (applicationForm.test(app)) return undefined
    const refused = refusal('app-unknown')
    this.#options.onRefused(refused, 'before-start')
    return { code: 'NetConnection.Connect.Rejected', description: statusDescription(refused) }
  }

  async #open(event: Extract<ServerEvent, { type: 'publish' }>): Promise<void> {
    this.#state = 'opening'
    this.#streamId = event.streamId
    this.#road = this.#roadFor({ name: event.name, query: event.query })
    const refused = await this.#road.open()
    if (this.#state !== 'opening') return
    if (refused) this.#refuse(refused)
    else this.#goLive(this.#road)
  }

  #roadFor(intent: PublishIntent): Road {
    const options = this.#options
    const { clock, log } = options
    const { signal } = this.#aborted
    const onRefused = (refused: Refusal) => this.#refuse(refused)
    if (options.memory) {
      const open = (attempt: Attempt) => options.openUpstream(intent, signal, attempt)
      return new UpstreamRoad({ ...options.memory, clock, open, onRefused })
    }
    const onDrain = () => {
      this.#lastHeardAt = clock.monotonic()
      this.#socket.resume()
    }
    return new SingleRoad({
      open: () => options.openUpstream(intent, signal),
      log,
      onRefused,
      onDrain,
    })
  }

  #goLive(road: Road): void {
    const { clock, limits } = this.#options
    this.#state = 'live'
    this.#wasLive = true
    this.#liveSince = clock.monotonic()
    this.#membership = this.#options.gather?.join()
    this.#session.acceptPublish(this.#streamId)
    this.#flush()
    this.#options.onLive()
    const pending = this.#pending
    this.#pending = []
    for (const message of pending) {
      this.#options.onMedia?.(message)
      road.push(message)
    }
    this.#watchSilence(limits.idleTimeoutMs)
  }

  /** Enhanced RTMP is sent on in the classic form, as far as it has one. */
  #normalize(message: MediaMessage): boolean {
    if (message.payload.length === 0) return true
    const classic = classicMedia(message)
    if ('fault' in classic) {
      this.#refuse(refusal('input-broken', `The stream cannot be read: ${classic.fault}.`))
      return true
    }
    return classic.value ? this.#relay(classic.value) : true
  }

  #relay(message: MediaMessage): boolean {
    if (this.#state === 'live') {
      this.#options.onMedia?.(message)
      return this.#road?.push(message) ?? true
    }
    if (this.#state !== 'opening') return true
    this.#pendingBytes += message.payload.length
    if (this.#pendingBytes > pendingLimitBytes) this.#refuse(refusal('protocol-error'))
    else this.#pending.push(message)
    return true
  }

  /** Who is silent is looked at once more: this process may have stood still, with what came meanwhile unread. */
  #watchSilence(idleTimeoutMs: number, wasSilent = false): void {
    const silentMs = this.#options.clock.monotonic() - this.#lastHeardAt
    // A paused socket is our own doing: the next hop is slow, not the publisher silent.
    const isSilent = silentMs >= idleTimeoutMs && !this.#socket.isPaused()
    if (isSilent && wasSilent) {
      this.#end(`publisher was silent for ${Math.round(silentMs)} ms`)
      return
    }
    this.#after(Math.max(lookAgainMs, idleTimeoutMs - silentMs), () => {
      if (this.#state === 'live') this.#watchSilence(idleTimeoutMs, isSilent)
    })
  }

  #refuse(reason: Refusal, endRoad?: () => void): void {
    if (this.#state === 'refused' || this.#state === 'ended') return
    const wasLive = this.#state === 'live'
    const mayBeTold = this.#streamId !== 0
    this.#state = 'refused'
    this.#pending = []
    this.#options.onRefused(reason, wasLive ? 'after-start' : 'before-start')
    if (mayBeTold) {
      const status = { code: statusCodeOf(reason.code), description: statusDescription(reason) }
      if (wasLive) this.#session.sendStatus(this.#streamId, { level: 'error', ...status })
      else this.#session.refusePublish(this.#streamId, status)
    }
    this.#leaveSoon(`refused: ${reason.code}`, endRoad)
  }

  /** Leaves time for the last answer. Reading goes on, so that it is not lost to a reset meanwhile. */
  #leaveSoon(reason: string, endRoad = () => this.#road?.destroy()): void {
    this.#state = 'refused'
    this.#leaving = reason
    endRoad()
    this.#flush()
    this.#socket.resume()
    this.#after(statusLeadMs, () => this.#end(reason))
  }

  #end(reason: string): void {
    if (this.#state === 'ended') return
    this.#state = 'ended'
    this.#membership?.[Symbol.dispose]()
    const liveMs = this.#wasLive ? this.#options.clock.monotonic() - this.#liveSince : 0
    for (const timer of this.#timers) timer.cancel()
    this.#timers.clear()
    this.#pending = []
    const goesOnElsewhere = this.#options.memory?.isRelayed && !this.#hasUnpublished
    if (goesOnElsewhere) this.#road?.destroy()
    const finished = this.#road?.finish() ?? Promise.resolve()
    this.#flush()
    this.#socket.destroy()
    void finished.then(() => {
      this.#aborted.abort()
      this.#done.resolve({
        reason: this.#leaving ?? reason,
        wasLive: this.#wasLive,
        bytesIn: this.#bytesIn,
        liveMs,
      })
    })
  }

  #flush(): void {
    const output = this.#session.takeOutput()
    if (this.#socket.destroyed || !this.#socket.writable) return
    for (const bytes of output) this.#socket.write(bytes)
  }

  #after(ms: number, callback: () => void): void {
    const timer = this.#options.clock.setTimeout(() => {
      this.#timers.delete(timer)
      callback()
    }, ms)
    this.#timers.add(timer)
  }
}
