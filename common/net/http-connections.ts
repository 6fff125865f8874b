// HTTP/1.1 and HTTP/2 on connections that somebody else has accepted, so that one port can speak more than HTTP.
//
// Both servers never listen: connections are put into them by emit('connection'). Node checks the time limits
// of HTTP/1.1 headers only after it has seen 'listening', so that event is emitted by hand as well.
import {
  createServer,
  type IncomingMessage,
  type Server,
  type ServerResponse,
  STATUS_CODES,
} from 'node:http'
import {
  constants,
  createServer as createHttp2Server,
  type Http2Server,
  Http2ServerRequest,
  Http2ServerResponse,
  type Http2Session,
  type IncomingHttpHeaders,
  type ServerHttp2Stream,
} from 'node:http2'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { Logger } from '../log.ts'
import { ConnectionOrder, refusalStatus } from './connection-order.ts'
import { limitControlFrames } from './control-frames.ts'
import type { HostList } from './host-list.ts'
import { Http2Goodbyes } from './http2-goodbye.ts'
import {
  allowedMethods,
  isHttp2,
  maxHeaderPairs,
  type RequestFault,
  requestFault,
  targetPath,
} from './request-guard.ts'

export interface HttpHandlers {
  /**
   * HTTP/2 requests come through Node's compatibility classes, which offer what is used of these types.
   * `url` is a path here, whatever form the client sent.
   */
  onRequest(req: IncomingMessage, res: ServerResponse): unknown
  /** WebSocket upgrades, HTTP/1.1 only; without it they are answered 404. Nothing else may be due on the connection. */
  onUpgrade?(req: IncomingMessage, socket: Duplex, head: Buffer): void
}

export interface HttpLimits {
  /** From the first byte of a request to the end of its headers; also for the whole request. */
  headersTimeoutMs: number
  /** How long an idle connection is kept for the next request. */
  keepAliveTimeoutMs: number
  /** A connection on which no byte moves either way is gone: also one whose reader has stopped reading. */
  idleTimeoutMs: number
  maxHeaderBytes: number
  /** Requests at the same time on one HTTP/2 connection. */
  maxStreams: number
}

export const defaultHttpLimits: HttpLimits = {
  headersTimeoutMs: 10_000,
  keepAliveTimeoutMs: 65_000,
  idleTimeoutMs: 90_000,
  maxHeaderBytes: 16 * 1024,
  maxStreams: 100,
}

/** Answers what it can before node:http and node:http2 make requests of it. */
export interface HttpRoad {
  /** Of HTTP/1.1; `handOver` gives the connection to node:http: no answer is under way then, no byte of it is lost. */
  accept(socket: Socket, handOver: () => void): void
  /** False: it has not touched the stream. */
  stream(stream: ServerHttp2Stream, headers: IncomingHttpHeaders, hasBody: boolean): boolean
  /** The next answer on each connection is its last. */
  announceDrain(): void
  /** Idle connections end now, the others with their answer. */
  drain(): void
}

export interface HttpConnectionsOptions {
  handlers: HttpHandlers
  road?: HttpRoad | undefined
  limits?: Partial<HttpLimits>
  /** Where given, requests for other hosts are answered 421. */
  hosts?: HostList | undefined
  log: Logger
}

// HTTP/2 rapid reset (CVE-2023-44487): a burst of so many, then so many a second, then GOAWAY.
const streamResetBurst = 100
const streamResetRatePerSecond = 10

export class HttpConnections implements Disposable {
  readonly #handlers: HttpHandlers
  readonly #hosts: HostList | undefined
  readonly #log: Logger
  readonly #road: HttpRoad | undefined
  readonly #order = new ConnectionOrder()
  readonly #http1: Server
  readonly #http2: Http2Server
  readonly #sessions = new Set<Http2Session>()
  readonly #goodbyes = new Http2Goodbyes()
  #isStarted = false
  #drain: 'none' | 'announced' | 'ending' = 'none'

  constructor(options: HttpConnectionsOptions) {
    this.#handlers = options.handlers
    this.#hosts = options.hosts
    this.#log = options.log
    this.#road = options.road
    const limits = { ...defaultHttpLimits, ...options.limits }
    this.#http1 = this.#createHttp1(limits)
    this.#http2 = this.#createHttp2(limits)
  }

  acceptHttp1(socket: Socket): void {
    if (!this.#isStarted) this.#http1.emit('listening')
    this.#isStarted = true
    this.#prepare(socket)
    // Viewers who have shut their side get their answer. Those who ask other nodes have left, and are not waited for.
    socket.allowHalfOpen = this.#road !== undefined
    const handOver = () => this.#http1.emit('connection', socket)
    if (this.#road) this.#road.accept(socket, handOver)
    else handOver()
  }

  acceptHttp2(socket: Socket): void {
    this.#prepare(socket)
    this.#http2.emit('connection', socket)
  }

  /**
   * Tells every client that asks to go on over another connection: `Connection: close`, or a GOAWAY. None
   * is closed under a request that is on its way; `drain` does that, and is to come when who wanted to ask has asked.
   */
  announceDrain(): void {
    this.#drain = 'announced'
    this.#road?.announceDrain()
  }

  /** Idle connections end now, the others with their answer. */
  drain(): void {
    this.#drain = 'ending'
    this.#road?.drain()
    this.#http1.closeIdleConnections()
    for (const session of this.#sessions) session.close()
  }

  /** Stops the timers; connections belong to whoever accepted them. */
  [Symbol.dispose](): void {
    this.drain()
    // Closing a server that never listened answers with an error that says just that.
    this.#http1.close(() => {})
    this.#http2.close(() => {})
  }

  #createHttp1(limits: HttpLimits): Server {
    const server = createServer({
      headersTimeout: limits.headersTimeoutMs,
      requestTimeout: limits.headersTimeoutMs,
      connectionsCheckingInterval: Math.ceil(Math.min(1_000, limits.headersTimeoutMs / 4)),
      keepAliveTimeout: limits.keepAliveTimeoutMs,
      maxHeaderSize: limits.maxHeaderBytes,
      // Node would answer by itself, and hand the request behind it on.
      requireHostHeader: false,
      // Anything else, such as curl's h2c, is an ordinary request that happens to offer an upgrade.
      shouldUpgradeCallback: (req) => this.#handlers.onUpgrade !== undefined && isWebSocket(req),
    })
    server.timeout = limits.idleTimeoutMs
    // As acceptHttp1() has it; not among Node's types.
    Object.assign(server, { httpAllowHalfOpen: this.#road !== undefined })
    // Without the last two Node answers `100 Continue` by itself to anything that contains those words.
    for (const event of ['request', 'checkContinue', 'checkExpectation']) {
      server.on(event, (req: IncomingMessage, res: ServerResponse) => this.#request(req, res))
    }
    server.on('clientError', (err: NodeJS.ErrnoException, socket: Duplex) => {
      const status = refusalStatus(err.code)
      if (status === undefined) socket.destroy()
      else this.#order.refuse(socket, status, reasonOf(status))
    })
    server.on('connect', (_req: IncomingMessage, socket: Duplex) => {
      socket.on('error', () => {})
      this.#order.refuse(socket, 405, 'method not allowed')
    })
    server.on('upgrade', (req: IncomingMessage, socket: Duplex, head: Buffer) =>
      this.#upgrade(req, socket, head),
    )
    return server
  }

  #createHttp2(limits: HttpLimits): Http2Server {
    const server = createHttp2Server({
      settings: {
        maxConcurrentStreams: limits.maxStreams,
        maxHeaderListSize: limits.maxHeaderBytes,
        enablePush: false,
      },
      maxHeaderListPairs: maxHeaderPairs,
      maxSessionInvalidFrames: 100,
      maxSessionRejectedStreams: 100,
      streamResetBurst,
      streamResetRate: streamResetRatePerSecond,
    })
    server.on('stream', (opened, headers, flags, rawHeaders) => {
      const stream = opened as ServerHttp2Stream
      const hasBody = (flags & constants.NGHTTP2_FLAG_END_STREAM) === 0
      const serve = () => {
        if (this.#road?.stream(stream, headers, hasBody)) return
        const req = new Http2ServerRequest(stream, headers, {}, rawHeaders)
        this.#request(req as never, new Http2ServerResponse(stream) as never)
      }
      if (this.#drain !== 'announced' || !this.#goodbyes.hold(stream, serve)) serve()
    })
    server.on('session', (session) => {
      this.#sessions.add(session)
      session.once('close', () => this.#sessions.delete(session))
      session.setTimeout(limits.idleTimeoutMs, () => session.destroy())
      limitControlFrames(session)
      if (this.#drain === 'ending') session.close()
    })
    server.on('sessionError', (err) => this.#log.debug({ err }, 'HTTP/2 connection failed'))
    return server
  }

  #prepare(socket: Socket): void {
    socket.setNoDelay(true)
    // Both servers listen for errors, but an upgrade takes their listener away again.
    socket.on('error', () => {})
  }

  #request(req: IncomingMessage, res: ServerResponse): void {
    if (isHttp2(req)) {
      const fault = requestFault(req, this.#hosts)
      if (fault) answerFault(req, res, fault)
      else this.#handle(req, res)
      return
    }
    const { socket } = req
    const admitted = this.#order.admit(socket, res)
    if (admitted === 'overlook') return
    res.once('close', () => {
      if (this.#drain === 'ending') setImmediate(() => this.#http1.closeIdleConnections())
    })
    const fault =
      admitted === 'refuse'
        ? { status: 400, reason: 'too many requests before an answer' }
        : (requestFault(req, this.#hosts) ?? (isWebSocket(req) ? noWebSocket : undefined))
    // Whether the bytes behind an offer to speak something else are a request is the other side's to say.
    if (fault || req.headers.upgrade !== undefined || this.#drain !== 'none') {
      res.setHeader('connection', 'close')
      this.#order.end(socket)
    }
    if (fault) answerFault(req, res, fault)
    else this.#handle(req, res)
  }

  #handle(req: IncomingMessage, res: ServerResponse): void {
    req.url = targetPath(req)!
    const fail = (err: unknown) => {
      this.#log.error({ err, url: req.url }, 'request failed')
      if (res.headersSent) res.destroy()
      else answerFault(req, res, { status: 500, reason: 'internal error' })
    }
    try {
      const outcome = this.#handlers.onRequest(req, res)
      if (outcome instanceof Promise) outcome.catch(fail)
    } catch (err) {
      fail(err)
    }
  }

  #upgrade(req: IncomingMessage, socket: Duplex, head: Buffer): void {
    const fault = requestFault(req, this.#hosts)
    socket.on('error', () => {})
    if (fault) {
      this.#order.refuse(socket, fault.status, fault.reason)
      return
    }
    req.url = targetPath(req)!
    try {
      this.#handlers.onUpgrade?.(req, socket, head)
    } catch (err) {
      this.#log.error({ err, url: req.url }, 'upgrade failed')
      socket.destroy()
    }
  }
}

const noWebSocket: RequestFault = { status: 404, reason: 'no WebSocket here' }

function isWebSocket(req: IncomingMessage): boolean {
  return req.headers.upgrade?.toLowerCase() === 'websocket'
}

function reasonOf(status: number): string {
  return status === 400 ? 'not HTTP' : (STATUS_CODES[status] ?? '').toLowerCase()
}

function answerFault(req: IncomingMessage, res: ServerResponse, fault: RequestFault): void {
  const body = `${fault.status} ${fault.reason}\n`
  res.writeHead(fault.status, {
    'content-type': 'text/plain; charset=utf-8',
    'content-length': String(Buffer.byteLength(body)),
    'cache-control': 'no-store',
    ...(fault.status === 405 && { allow: allowedMethods.join(', ') }),
    // What follows on such a connection cannot be trusted to start where we think it does.
    ...(!isHttp2(req) && { connection: 'close' }),
  })
  res.end(req.method === 'HEAD' ? undefined : body)
}
