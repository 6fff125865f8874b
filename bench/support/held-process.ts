// Process: viewers of low-latency HLS that are held, each on a connection of its own: every answer is to a reload that was
// held back, and the next one is asked for at once. Tells when the first byte of each came. Nothing else is done with
// an answer: what the client takes for thousands of them is part of what is measured.
//
// Takes its orders as the first argument. Sends `held` when all are connected and have asked; at any message a HeldReport.
import { once } from 'node:events'
import { connect as connectPlain, type Socket } from 'node:net'
import { connect as connectTls, createSecureContext } from 'node:tls'
import { tlsName } from './bench-server.ts'
import { RawConnection, type RawTarget } from './raw-connection.ts'
import { type LiveTimeline, timelineOf } from './viewer-schedule.ts'

export interface HeldOrder {
  target: RawTarget
  /** Path of the media playlist. */
  path: string
  viewers: number
}

export interface HeldReport {
  /** For each part that all viewers heard of: from the first viewer's first byte to the last one's, ms. */
  skewsMs: number[]
  /** Parts that not all viewers heard of, while all were asking. */
  missed: number
  failures: Record<string, number>
}

const atATime = 64
const order: HeldOrder = JSON.parse(process.argv[2]!)
const { port, certificate } = order.target
const secureContext = certificate ? createSecureContext({ ca: certificate }) : undefined
const failures: HeldReport['failures'] = {}

interface Round {
  heard: number
  firstAtMs: number
  lastAtMs: number
}
/** By the number of the part that was waited for. */
const rounds = new Map<number, Round>()
let isCounting = false

class HeldViewer {
  readonly #socket: Socket
  #part: number
  /** Of the answer that is coming, -1 until its head is here. */
  #left = -1
  #head = ''

  constructor(socket: Socket, part: number) {
    this.#socket = socket
    this.#part = part
    socket.on('data', (piece: Buffer) => this.#take(piece))
    this.#ask()
  }

  #ask(): void {
    this.#left = -1
    this.#head = ''
    this.#socket.write(requestFor(this.#part))
  }

  #take(piece: Buffer): void {
    let bytes = piece
    if (this.#left < 0) {
      if (this.#head === '') heard(this.#part)
      const head = this.#head + piece.toString('latin1')
      const end = head.indexOf('\r\n\r\n')
      if (end < 0) {
        this.#head = head
        return
      }
      const isFine = head.startsWith('HTTP/1.1 200')
      const [, length] = /content-length: *(\d+)/i.exec(head.slice(0, end)) ?? []
      if (!isFine || length === undefined) {
        fail(this.#socket, head.slice(0, 40).split('\r\n')[0]!)
        return
      }
      this.#left = Number(length)
      bytes = piece.subarray(end + 4 - this.#head.length)
    }
    this.#left -= bytes.length
    if (this.#left > 0) return
    this.#part++
    this.#ask()
  }
}

let timeline: LiveTimeline
const requests = new Map<number, Buffer>()

/** One for all viewers who wait for the same part. */
function requestFor(part: number): Buffer {
  const known = requests.get(part)
  if (known) return known
  const { number, partsEach } = timeline
  const query = `_HLS_msn=${number + Math.floor(part / partsEach)}&_HLS_part=${part % partsEach}`
  const text = `GET ${order.path}?${query} HTTP/1.1\r\nHost: ${tlsName}\r\nUser-Agent: bench\r\n\r\n`
  requests.set(part, Buffer.from(text))
  requests.delete(part - 10)
  return requests.get(part)!
}

function heard(part: number): void {
  const nowMs = performance.now()
  const round = rounds.get(part)
  if (!round) {
    if (isCounting) rounds.set(part, { heard: 1, firstAtMs: nowMs, lastAtMs: nowMs })
    return
  }
  round.heard++
  round.lastAtMs = nowMs
}

function fail(socket: Socket, text: string): void {
  failures[text] = (failures[text] ?? 0) + 1
  socket.destroy()
}

async function connected(): Promise<Socket> {
  const where = { host: '127.0.0.1', port }
  const socket = secureContext
    ? connectTls({ ...where, servername: tlsName, secureContext, ALPNProtocols: ['http/1.1'] })
    : connectPlain({ ...where, noDelay: true })
  await once(socket, secureContext ? 'secureConnect' : 'connect')
  socket.on('error', (err) => fail(socket, err.message))
  return socket
}

/** Counts parts from the one whose media begins the segment that the playlist dates. */
function nextPart(): number {
  const sinceMs = performance.timeOrigin + performance.now() - timeline.beginsAtMs
  return Math.ceil(sinceMs / timeline.partMs)
}

const first = new RawConnection(order.target)
timeline = timelineOf((await first.ask(order.path, { keepsBody: true })).body.toString())
first.close()
// Each asks at once: a server does not wait for ever for the first request of a connection.
for (let count = 0; count < order.viewers; count += atATime) {
  const batch = Math.min(atATime, order.viewers - count)
  const sockets = await Promise.all(Array.from({ length: batch }, connected))
  for (const socket of sockets) new HeldViewer(socket, nextPart())
}
// Who asked just before a part came waits for the one before it: they are all in step after two.
await new Promise((resolve) => setTimeout(resolve, 2.5 * timeline.partMs))
isCounting = true
process.once('message', () => {
  isCounting = false
  const failed = Object.values(failures).reduce((sum, count) => sum + count, 0)
  const whole = [...rounds.values()].filter((round) => round.heard >= order.viewers - failed)
  const skewsMs = whole.map(({ firstAtMs, lastAtMs }) => lastAtMs - firstAtMs)
  // The last one may still be coming.
  const missed = Math.max(0, rounds.size - whole.length - 1)
  process.send?.({ skewsMs, missed, failures } satisfies HeldReport, () => process.exit())
})
process.send?.('held')
