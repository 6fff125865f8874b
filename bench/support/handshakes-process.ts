// Process: connects over RTMPS again and again, some at a time, up to the server's answer to `connect`, then leaves.
// Takes its orders as the first argument; sends the parent `ready`, begins at its word, and sends a HandshakesReport.
import { once } from 'node:events'
import { connect } from 'node:tls'
import { RtmpClientSession } from '../../media/rtmp/client-session.ts'

export interface HandshakesOrder {
  server: string
  count: number
  atATime: number
}

export interface HandshakesReport {
  answered: number
  seconds: number
}

const order: HandshakesOrder = JSON.parse(process.argv[2]!)
const { hostname, port, pathname } = new URL(order.server)

/** Resolves with whether the server answered `connect`. Every handshake is a full one: no session is resumed. */
async function handshake(): Promise<boolean> {
  const socket = connect({
    host: hostname,
    port: Number(port),
    servername: 'localhost',
    rejectUnauthorized: false,
  })
  const session = new RtmpClientSession({
    app: pathname.slice(1),
    tcUrl: order.server,
    streamName: 'nobody',
  })
  const flush = () => {
    const output = session.takeOutput()
    if (output.length > 0) socket.write(Buffer.concat(output))
  }
  let isAnswered = false
  socket.on('error', () => {})
  socket.once('secureConnect', () => {
    session.start()
    flush()
  })
  socket.on('data', (bytes: Buffer) => {
    session.receive(bytes)
    isAnswered = session.state === 'creating'
    if (isAnswered) socket.destroy()
    else flush()
  })
  await once(socket, 'close')
  return isAnswered
}

process.send?.('ready')
await once(process, 'message')
const startedAtMs = performance.now()
let begun = 0
let answered = 0
await Promise.all(
  Array.from({ length: order.atATime }, async () => {
    while (begun++ < order.count) if (await handshake()) answered++
  }),
)
const report: HandshakesReport = { answered, seconds: (performance.now() - startedAtMs) / 1000 }
process.send?.(report, () => process.exit())
