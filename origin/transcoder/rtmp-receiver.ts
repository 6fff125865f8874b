// The transcoder's RTMP port. Each connection is ended by our own session, which is bounded in all it takes;
// once its publish is let in, its media is written anew to node-media-server in a child process, and comes back
// from there as FLV, one socket per stream, that pushes back all the way to the publisher.
//
//   gateway ──RTMP──▶ relay (here) ──RTMP, unix socket──▶ child ──FLV, unix socket──▶ stream (here)
//
// So nobody on the network reaches the child's reader, with or without a ticket.
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Clock } from '../../common/clock.ts'
import { type Refusal, refusal } from '../../common/contract/refusal.ts'
import type { Logger } from '../../common/log.ts'
import { LogBudget } from '../../common/log-budget.ts'
import { plainAddress } from '../../common/net/addresses.ts'
import { createNetworkList, type NetworkList } from '../../common/net/allowed-networks.ts'
import { acceptConnection } from '../../common/net/first-bytes.ts'
import { Listener } from '../../common/net/listener.ts'
import type { ProcessGuard } from '../../common/process-guard.ts'
import { PublishRelay } from '../../common/relay/publish-relay.ts'
import { ReceiverProcess } from './receiver-process.ts'

export interface PublishAttempt {
  /** Names this one way in; media comes under it. */
  pipe: string
  name: string
  ticket: string
  address: string
}

/** A publish that was let in. */
export interface ReceivedStream {
  pipe: string
  /** FLV bytes; ends when the publisher's connection ends. Not reading it slows the publisher down. */
  media: Socket
  /** Monotonic: when the first message reached the relay that owns the publisher, if that was earlier than here. */
  firstReachedMs: number | undefined
  /** The publisher has said that it is over; else its relay may come again by another way. */
  hasUnpublished: () => boolean
  /** A status for the publisher, then the end of its connection. */
  refuse(refusal: Refusal): void
  drop(): void
}

export interface RtmpReceiverOptions {
  host: string
  port: number
  trustedNetworks: readonly string[]
  /** Kept short: the path of a unix-domain socket has about 100 bytes. */
  runFolder: string
  guard: ProcessGuard
  clock: Clock
  log: Logger
  /** `undefined` lets the publish start. Must not reject. */
  decide: (attempt: PublishAttempt) => Promise<Refusal | undefined>
  onStream: (stream: ReceivedStream) => void
}

const firstByteTimeoutMs = 10_000
/** A gateway that vanished without a FIN is noticed after the second. */
const limits = { publishTimeoutMs: 10_000, idleTimeoutMs: 15_000 }
/** Each may hold 1 MiB before its publish is let in. */
const maxConnections = 512
const drainLimitMs = 1_000
const firstLineTimeoutMs = 5_000
const maxFirstLineBytes = 128
const maxSocketPathBytes = 100
/** Longer than any relay keeps media. */
const oldestMs = 60_000

export class RtmpReceiver implements AsyncDisposable {
  readonly #options: RtmpReceiverOptions
  readonly #trusted: NetworkList
  readonly #listener: Listener
  readonly #refusalLines: LogBudget
  readonly #mediaServer: Server
  readonly #mediaSockets = new Set<Socket>()
  readonly #relays = new Map<PublishRelay, Promise<unknown>>()
  /** What to make of the media of a connection that was let in, until it comes. */
  readonly #expected = new Map<string, (media: Socket) => void>()
  #folder = ''
  #process: ReceiverProcess | undefined

  constructor(options: RtmpReceiverOptions) {
    const { clock, log } = options
    this.#options = options
    this.#refusalLines = new LogBudget({ clock, log })
    this.#trusted = createNetworkList(options.trustedNetworks)
    this.#mediaServer = createServer((socket) => this.#onMediaSocket(socket))
    const server = createServer({ noDelay: true }, (socket) => void this.#accept(socket))
    this.#listener = new Listener({ server, maxConnections, drainLimitMs, clock, log })
  }

  /** The real one, also when 0 was asked for. */
  get port(): number {
    return this.#listener.address?.port ?? 0
  }

  get isListening(): boolean {
    return this.#process?.isListening === true && this.port !== 0
  }

  /** Of the child. */
  get pid(): number | undefined {
    return this.#process?.pid
  }

  /** Rejects with a `ServiceError` that names the port when it cannot be had. */
  async start(): Promise<void> {
    const { guard, clock, log, host, port } = this.#options
    try {
      const folder = await this.#makeFolder()
      const mediaSocket = join(folder, 'media.sock')
      const rtmpSocket = join(folder, 'rtmp.sock')
      this.#mediaServer.listen(mediaSocket)
      await once(this.#mediaServer, 'listening')
      this.#process = new ReceiverProcess({ folder, rtmpSocket, mediaSocket, guard, clock, log })
      await this.#process.start()
      await this.#listener.start({ host, port })
    } catch (err) {
      await this[Symbol.asyncDispose]()
      throw err
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    void this.#listener.stopAccepting()
    for (const relay of this.#relays.keys()) relay.close(refusal('maintenance'))
    await Promise.all(this.#relays.values())
    await this.#listener[Symbol.asyncDispose]()
    await this.#process?.[Symbol.asyncDispose]()
    for (const socket of this.#mediaSockets) socket.destroy()
    if (this.#mediaServer.listening) {
      this.#mediaServer.close()
      await once(this.#mediaServer, 'close')
    }
    if (this.#folder !== '') await rm(this.#folder, { recursive: true, force: true })
  }

  async #makeFolder(): Promise<string> {
    const own = this.#options.runFolder
    if (Buffer.byteLength(join(own, 'media.sock')) <= maxSocketPathBytes) {
      await rm(own, { recursive: true, force: true })
      await mkdir(own, { recursive: true, mode: 0o700 })
      this.#folder = own
    } else {
      this.#folder = await mkdtemp(join(tmpdir(), 'nearcast-'))
    }
    return this.#folder
  }

  async #accept(socket: Socket): Promise<void> {
    const { clock, log } = this.#options
    const acceptedMs = clock.monotonic()
    const address = plainAddress(socket.remoteAddress ?? '')
    if (!this.#trusted.includes(address)) {
      socket.destroy()
      if (this.#refusalLines.take()) {
        log.warn({ address }, 'publish from outside the trusted networks refused')
      }
      return
    }
    socket.setKeepAlive(true, 5_000)
    const accepted = await acceptConnection(socket, {
      clock,
      deadlineMs: firstByteTimeoutMs,
      proxy: 'none',
    })
    if (accepted.protocol === 'rtmp') this.#relay(socket, address, acceptedMs)
    else {
      socket.destroy()
      log.debug({ address }, 'connection closed: not RTMP')
    }
  }

  #relay(socket: Socket, address: string, acceptedMs: number): void {
    const { clock, decide } = this.#options
    const log = this.#options.log.child({ address })
    // Never one that was there before: the child would take up again what it knows of that.
    const pipe = randomBytes(12).toString('base64url')
    let hasUnpublished = false
    /** Whoever refused has logged it. */
    let verdict: Refusal | undefined
    const relay: PublishRelay = new PublishRelay({
      socket,
      clock,
      log,
      limits,
      openUpstream: async (intent, signal) => {
        const query = new URLSearchParams(intent.query)
        const ticket = query.get('ticket') ?? ''
        verdict = await decide({ pipe, name: intent.name, ticket, address })
        if (verdict) return { refused: verdict }
        if (signal.aborted) return { failed: 'the publisher has left' }
        this.#expected.set(pipe, (media) =>
          this.#options.onStream({
            pipe,
            media,
            firstReachedMs: firstReachedMs(query.get('age'), acceptedMs),
            hasUnpublished: () => hasUnpublished,
            refuse(refused) {
              verdict = refused
              relay.close(refused)
            },
            drop: () => socket.destroy(),
          }),
        )
        const outcome = await this.#process!.publish(pipe)
        if ('started' in outcome) return outcome
        log.error({ detail: outcome }, 'the RTMP receiver takes no publish')
        return { refused: refusal('transcoder-failed') }
      },
      onRefused: (refused, stage) => {
        if (refused === verdict || !this.#refusalLines.take()) return
        log.warn({ reason: refused.code, stage }, refused.message)
      },
      onLive() {},
    })
    const ended = relay.run().then((end) => {
      this.#relays.delete(relay)
      this.#expected.delete(pipe)
      hasUnpublished = end.reason === 'unpublished'
      log.debug({ reason: end.reason, bytesIn: end.bytesIn }, 'publisher left')
    })
    this.#relays.set(relay, ended)
  }

  #onMediaSocket(socket: Socket): void {
    this.#mediaSockets.add(socket)
    socket.on('error', () => {})
    socket.once('close', () => this.#mediaSockets.delete(socket))
    const timer = this.#options.clock.setTimeout(() => socket.destroy(), firstLineTimeoutMs)
    let head = Buffer.alloc(0)
    const onReadable = () => {
      for (;;) {
        const bytes: Buffer | null = socket.read()
        if (bytes === null) return
        head = Buffer.concat([head, bytes])
        const end = head.indexOf(0x0a)
        if (end < 0 && head.length <= maxFirstLineBytes) continue
        timer.cancel()
        socket.off('readable', onReadable)
        const pipe = head.toString('latin1', 0, Math.max(0, end))
        const deliver = this.#expected.get(pipe)
        if (end < 0 || deliver === undefined) return socket.destroy()
        this.#expected.delete(pipe)
        if (end + 1 < head.length) socket.unshift(head.subarray(end + 1))
        return deliver(socket)
      }
    }
    socket.on('readable', onReadable)
    socket.once('close', () => timer.cancel())
  }
}

/** The age was told when the connection was made, so it counts from there. */
function firstReachedMs(age: string | null, acceptedMs: number): number | undefined {
  if (age === null || !/^\d{1,9}$/.test(age)) return undefined
  return acceptedMs - Math.min(Number(age), oldestMs)
}
