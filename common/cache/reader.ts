// Follows one object for one connection, at that connection's own pace: an offset, one write under way at a time,
// woken by the object (more bytes) or by the connection (room again).
//
// Writes are smaller where bytes are copied for them (TLS encrypts all of a write at once), and grow with each that has been
// taken: what is written and not taken is what a slow reader costs. Who takes a piece more slowly than the minimum rate
// is let go.
import type { CacheMetrics } from './cache-metrics.ts'
import type { CacheObject } from './cache-object.ts'
import type { SendDeadlines, Sender } from './send-deadlines.ts'

/** Where a reader's bytes go: a response or a bare connection. */
export interface Downstream extends Sender {
  /** Writes copy: the reader makes smaller ones. */
  readonly isCopying: boolean
  /** A row of `protocolRows`. */
  readonly protocol: number
  /** False: enough for now, `room()` will be called. */
  write(piece: Buffer): boolean
  /** It minds the deadline of what is not taken by then. */
  end(piece?: Buffer): void
  /** Tells downstream that the rest is missing: a reset, never a clean end. */
  abort(): void
}

export interface ReaderOptions {
  start: number
  /** Exclusive; undefined while the length is not known. */
  end: number | undefined
  deadlines: SendDeadlines
  metrics: Pick<CacheMetrics, 'sent'>
}

export const maxWriteBytes = 256 * 1024
const firstCopiedBytes = 16 * 1024
const maxCopiedBytes = 64 * 1024

export class Reader {
  readonly #downstream: Downstream
  readonly #object: CacheObject
  readonly #end: number | undefined
  readonly #deadlines: SendDeadlines
  readonly #metrics: Pick<CacheMetrics, 'sent'>
  #offset: number
  #writeBytes: number
  /** While a write has not been taken. */
  #isBlocked = false
  #isDone = false
  #leave: (() => void) | undefined

  constructor(downstream: Downstream, object: CacheObject, options: ReaderOptions) {
    this.#downstream = downstream
    this.#object = object
    this.#offset = options.start
    this.#end = options.end
    this.#deadlines = options.deadlines
    this.#metrics = options.metrics
    this.#writeBytes = downstream.isCopying ? firstCopiedBytes : maxWriteBytes
  }

  /** Nothing is waited for but the connection. */
  get hasAll(): boolean {
    return this.#object.state === 'complete'
  }

  /** Answers whether anything was written or ended. */
  run(): boolean {
    if (this.#object.state === 'growing') this.#leave = this.#object.follow(() => this.#pump())
    const begin = this.#offset
    this.#pump()
    return this.#offset !== begin || this.#isDone
  }

  /** The connection takes more. */
  room(): void {
    if (!this.#isBlocked) return
    this.#isBlocked = false
    this.#deadlines.taken(this.#downstream)
    if (this.#downstream.isCopying) {
      this.#writeBytes = Math.min(maxCopiedBytes, 2 * this.#writeBytes)
    }
    this.#pump()
  }

  /** The connection has ended. */
  gone(): void {
    this.#isDone = true
    this.#deadlines.taken(this.#downstream)
    this.#leave?.()
  }

  #pump(): void {
    while (!this.#isBlocked && !this.#isDone) {
      const object = this.#object
      const end = this.#end ?? (object.state === 'complete' ? object.size : Infinity)
      const until = Math.min(end, object.size, this.#offset + this.#writeBytes)
      if (this.#offset < until) this.#write(object.slice(this.#offset, until), until === end)
      else if (this.#offset >= end) this.#close()
      else {
        if (object.state === 'broken') this.#break()
        return
      }
    }
  }

  #write(piece: Buffer, isLast: boolean): void {
    this.#offset += piece.length
    this.#metrics.sent(piece.length, this.#downstream.protocol, this.#object.tally)
    if (isLast) {
      this.#close(piece)
      return
    }
    if (this.#downstream.write(piece)) return
    this.#isBlocked = true
    this.#deadlines.wrote(this.#downstream, piece.length)
  }

  #close(piece?: Buffer): void {
    this.gone()
    this.#downstream.end(piece)
  }

  #break(): void {
    this.gone()
    this.#downstream.abort()
  }
}
