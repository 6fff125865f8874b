// One connection on the fast road: one request after the other, each answered from the cache by bare writes. The first
// that is not simple goes, with the connection and every byte of it, to whoever takes over; no answer is under way then.
import type { Socket } from 'node:net'
import type { AnswerHead } from '../../../common/cache/answer-head.ts'
import { type Coding, codingOf } from '../../../common/cache/answer-headers.ts'
import { awaitAnswer } from '../../../common/cache/await-answer.ts'
import { protocolRows } from '../../../common/cache/cache-metrics.ts'
import type { CacheObject } from '../../../common/cache/cache-object.ts'
import type { Opened } from '../../../common/cache/fill-cache.ts'
import { type Downstream, Reader } from '../../../common/cache/reader.ts'
import type { CountedViewer, FastRoad } from './fast-road.ts'
import type { LoggedAnswer } from './logged-answer.ts'
import type { HeaderFacts } from './simple-get.ts'

const own = Symbol('fast connection')

interface OwnedSocket extends Socket {
  [own]?: FastConnection | undefined
}

type State =
  /** Between two requests. */
  | 'idle'
  /** A request waits for its answer to begin, or for the rest of it. */
  | 'answering'
  /** The answer has been written and has not been taken. */
  | 'flushing'
  /** Somebody else's, or closed. */
  | 'left'

const lastChunk = Buffer.from('0\r\n\r\n')
const lineEnd = Buffer.from('\r\n')

export class FastConnection implements Downstream {
  readonly isCopying: boolean
  readonly protocol: number
  readonly #road: FastRoad
  readonly #socket: OwnedSocket
  readonly #handOver: () => void
  #state: State = 'idle'
  #facts: HeaderFacts | undefined
  #reader: Reader | undefined
  #logged: LoggedAnswer | undefined
  #stopWaiting: (() => void) | undefined
  #isChunked = false
  /** The connection ends with the answer that is under way. */
  #isLast = false
  /** Monotonic time of the last thing that happened; of use between two requests. */
  #activeAt: number
  /** Of the viewer, once that is needed. */
  address: string | undefined
  /** Who watches here, once that is needed. */
  viewer: CountedViewer | undefined

  constructor(road: FastRoad, socket: Socket, handOver: () => void) {
    this.#road = road
    this.#socket = socket
    this.#handOver = handOver
    this.isCopying = 'encrypted' in socket
    this.protocol = this.isCopying ? protocolRows.https : protocolRows.http
    this.#activeAt = road.now()
    this.#socket[own] = this
    // Shared functions, not closures: there are as many connections as viewers.
    socket.on('data', onData).on('drain', onDrain).on('end', onEnd).on('close', onClose)
  }

  get socket(): Socket {
    return this.#socket
  }

  /** Ends what has been silent for too long. */
  check(now: number): void {
    if (this.#state !== 'idle') return
    const silentMs = now - this.#activeAt
    const { limits } = this.#road
    const isFirst = this.#facts === undefined
    if (silentMs > (isFirst ? limits.headersTimeoutMs : limits.keepAliveTimeoutMs)) {
      this.#socket.destroy()
    }
  }

  /** After the answer that is under way, or now. */
  close(): void {
    this.#isLast = true
    if (this.#state === 'idle') this.#socket.end()
  }

  received(bytes: Buffer): void {
    this.#activeAt = this.#road.now()
    if (this.#state === 'idle') {
      this.#take(bytes)
      return
    }
    // Put back, and not kept here: it comes again when this answer is over, and before the end of the connection.
    this.#socket.pause()
    this.#socket.unshift(bytes)
  }

  #take(bytes: Buffer): void {
    const request = this.#road.requests.read(bytes, this.#facts)
    const opened = request && this.#road.find(request.target, this)
    if (!opened) {
      this.#leave(bytes)
      return
    }
    this.#facts = request.facts
    if (request.facts.isLast) this.#isLast = true
    this.#logged = this.#road.logged(this, request.target, request.facts.agent, this.protocol)
    this.#serve(opened, request.facts)
  }

  #serve(opened: Opened, facts: HeaderFacts): void {
    this.#state = 'answering'
    const { head, state } = opened.object
    if (head && state === 'complete') {
      this.#answer(opened, head, facts, undefined)
      return
    }
    const { clock, metrics } = this.#road
    this.#stopWaiting = awaitAnswer(opened, {
      clock,
      metrics,
      // Compressed it is sent whole; its bytes come with its head, or shortly after.
      wantsWhole: (object, head) => this.#codingOf(object, head, facts) === 'gzip',
      answer: (found, head, failedStatus) => {
        if (this.#state !== 'left') this.#answer(found, head, facts, failedStatus)
      },
      broken: () => this.abort(),
    })
  }

  #codingOf(object: CacheObject, head: AnswerHead, facts: HeaderFacts): Coding | undefined {
    if (!this.#road.compress) return undefined
    return codingOf(object, head, facts.takesGzip ? 'gzip' : undefined)
  }

  #answer(
    opened: Opened,
    head: AnswerHead,
    facts: HeaderFacts,
    failedStatus: number | undefined,
  ): void {
    const { object } = opened
    // It would keep what was waited for alive until the next request.
    this.#stopWaiting = undefined
    const coding = this.#codingOf(object, head, facts)
    if (this.#road.isLeaving) this.#isLast = true
    const isLast = this.#isLast
    const prepared = this.#road.http1.of({ opened, head, coding, isLast, failedStatus })
    this.#road.answered(this, opened, head.status, facts.agent)
    this.#logged?.begins(head.status, opened.outcome)
    const { body, bytes, isGzip } = prepared
    if (prepared.hasBody) {
      this.#sent(body?.length ?? 0, object)
      this.#finish(bytes)
      return
    }
    const socket = this.#socket
    socket.cork()
    socket.write(bytes)
    if (body && isGzip) {
      this.#isChunked = false
      this.#sent(body.length, object)
      this.#finish(body)
    } else this.#follow(object)
    socket.uncork()
  }

  #sent(bytes: number, object: CacheObject): void {
    this.#road.sent(bytes, this.protocol, object)
    this.#logged?.sends(bytes)
  }

  #follow(object: CacheObject): void {
    const { deadlines, metrics } = this.#road
    const { length } = object
    this.#isChunked = length === undefined
    this.#reader = new Reader(this, object, { start: 0, end: length, deadlines, metrics })
    this.#reader.run()
  }

  write(piece: Buffer): boolean {
    this.#logged?.sends(piece.length)
    const socket = this.#socket
    if (!this.#isChunked) return socket.write(piece)
    socket.cork()
    socket.write(Buffer.from(`${piece.length.toString(16)}\r\n`, 'latin1'))
    socket.write(piece)
    const hasRoom = socket.write(lineEnd)
    socket.uncork()
    return hasRoom
  }

  end(piece?: Buffer): void {
    if (!this.#isChunked) {
      if (piece) this.#logged?.sends(piece.length)
      this.#finish(piece)
      return
    }
    if (piece) this.write(piece)
    this.#finish(lastChunk)
  }

  abort(): void {
    this.#socket.destroy()
  }

  overdue(): void {
    this.#socket.destroy()
  }

  /** The last bytes of an answer; the next request when they have been taken. */
  #finish(bytes: Buffer | undefined): void {
    this.#reader = undefined
    this.#logged?.ends()
    this.#activeAt = this.#road.now()
    const hasRoom = bytes === undefined || this.#socket.write(bytes)
    if (hasRoom && !this.#isLast) {
      this.#next()
      return
    }
    this.#state = 'flushing'
    this.#road.deadlines.wrote(this, this.#socket.writableLength)
    if (this.#isLast) this.#socket.end()
  }

  #next(): void {
    this.#state = 'idle'
    if (this.#socket.isPaused()) this.#socket.resume()
  }

  drained(): void {
    this.#activeAt = this.#road.now()
    if (this.#reader) this.#reader.room()
    else if (this.#state === 'flushing' && !this.#isLast) {
      this.#road.deadlines.taken(this)
      this.#next()
    }
  }

  /** The client sends no more, and may have left: it gets what is here, but nothing is waited for. */
  ended(): void {
    if (this.#reader?.hasAll) this.#isLast = true
    else if (this.#reader) this.abort()
    else this.#socket.end()
  }

  closed(): void {
    this.#state = 'left'
    this.#road.left(this)
    this.#road.deadlines.taken(this)
    this.#reader?.gone()
    this.#stopWaiting?.()
    this.#logged?.ends()
  }

  #leave(bytes: Buffer): void {
    const socket = this.#socket
    this.#state = 'left'
    this.#road.left(this)
    socket.off('data', onData).off('drain', onDrain).off('end', onEnd).off('close', onClose)
    socket[own] = undefined
    // Stopped, or the next owner would miss what comes before it listens.
    socket.pause()
    socket.unshift(bytes)
    this.#handOver()
    socket.resume()
  }
}

function onData(this: OwnedSocket, bytes: Buffer): void {
  this[own]?.received(bytes)
}

function onDrain(this: OwnedSocket): void {
  this[own]?.drained()
}

function onEnd(this: OwnedSocket): void {
  this[own]?.ended()
}

function onClose(this: OwnedSocket): void {
  this[own]?.closed()
}
