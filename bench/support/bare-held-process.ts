// Process: a server that does nothing but hold: each request waits until the next part is due, then all who wait are
// written the same bytes, one socket after the other. What a held answer costs at least, under Node on this machine.
//
// Takes its orders as the first argument; sends its port.
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { createServer as createTlsServer } from 'node:tls'
import { timelineOf } from './viewer-schedule.ts'

export interface BareHeldOrder {
  /** Of the live origin, read a while ago: what a viewer is answered, and by which parts come. */
  playlist: string
  tls?: { certificate: string; key: string } | undefined
}

const order: BareHeldOrder = JSON.parse(process.argv[2]!)
const answer = Buffer.from(
  `HTTP/1.1 200 OK\r\nContent-Type: application/vnd.apple.mpegurl\r\nContent-Length: ${Buffer.byteLength(order.playlist)}\r\n\r\n${order.playlist}`,
)
const timeline = timelineOf(order.playlist)
/** By the number of the part, counted from the segment that the playlist dates. */
const waiting = new Map<number, Socket[]>()

function serve(socket: Socket): void {
  socket.on('error', () => {})
  socket.on('data', (piece: Buffer) => {
    const [, msn, index] = /_HLS_msn=(\d+)&_HLS_part=(\d+)/.exec(piece.toString('latin1')) ?? []
    const part = (Number(msn) - timeline.number) * timeline.partsEach + Number(index)
    const isHeld = msn !== undefined && wallMs() < availableAtMs(part)
    if (!isHeld) socket.write(answer)
    else if (waiting.has(part)) waiting.get(part)!.push(socket)
    else waiting.set(part, [socket])
  })
}

function schedule(part: number): void {
  const waitMs = Math.max(0, availableAtMs(part) - wallMs())
  setTimeout(() => {
    const all = waiting.get(part) ?? []
    waiting.delete(part)
    for (const socket of all) socket.write(answer)
    schedule(part + 1)
  }, waitMs)
}

function availableAtMs(part: number): number {
  return timeline.beginsAtMs + (part + 1) * timeline.partMs
}

function wallMs(): number {
  return performance.timeOrigin + performance.now()
}

const { tls } = order
const server: Server = tls
  ? createTlsServer({ cert: tls.certificate, key: tls.key, ALPNProtocols: ['http/1.1'] }, serve)
  : createServer({ noDelay: true }, serve)
server.listen(0, '127.0.0.1', 4_096, () => process.send?.((server.address() as AddressInfo).port))
schedule(Math.ceil((wallMs() - timeline.beginsAtMs) / timeline.partMs))
process.once('disconnect', () => process.exit())
