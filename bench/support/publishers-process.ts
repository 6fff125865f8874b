// Process: publishers over RTMPS, each with the media of one FLV file over and over at the speed of life. Takes its
// orders as the first argument; sends the parent `live` when all publish, and a PublishersReport when it is told to end.
import { readFileSync } from 'node:fs'
import { connect, type TLSSocket } from 'node:tls'
import { FlvReader } from '../../media/flv/tag-reader.ts'
import { RtmpClientSession } from '../../media/rtmp/client-session.ts'
import type { MediaMessage } from '../../media/rtmp/message.ts'
import { until } from '../../test/support/until.ts'

export interface PublishersOrder {
  server: string
  streamNames: readonly string[]
  flvFile: string
  /** Time after which the file's media begins again. */
  loopMs: number
}

export interface PublishersReport {
  /** Of media, since all were live. */
  sentBytes: number
  seconds: number
  disconnects: number
  /** Most that waited here because a server did not read. */
  maxBacklogBytes: number
}

/** Finer than the time between two messages, so that each goes by itself, as encoders send. */
const tickMs = 4
/** Not all keyframes at once, and no two publishers in step: no multiple of a frame's time. */
const startSpreadMs = 47
/** As OBS sends: each chunk of 4 KiB in a record of its own. */
const chunkSizeBytes = 4096
const chunkHeadBytes = 12
/** Who is refused before the start tries again, as encoders do. */
const maxTries = 5
const againMs = 1_000

const order: PublishersOrder = JSON.parse(process.argv[2]!)
const messages = readMessages(order.flvFile)
const headers = messages.filter(({ timestampMs, payload, kind }) => {
  return timestampMs === 0 && (kind === 'data' || payload[1] === 0)
})
const frames = messages.filter((it) => !headers.includes(it))
const report: PublishersReport = { sentBytes: 0, seconds: 0, disconnects: 0, maxBacklogBytes: 0 }

/** One publisher, and how far it has got. */
class Publisher {
  readonly #streamName: string
  #socket!: TLSSocket
  #session!: RtmpClientSession
  #startedAtMs = 0
  #next = 0
  #tries = 0

  constructor(streamName: string) {
    this.#streamName = streamName
    this.#connect()
  }

  get isLive(): boolean {
    return this.#startedAtMs > 0
  }

  #connect(): void {
    const { hostname, port, pathname } = new URL(order.server)
    this.#tries++
    this.#session = new RtmpClientSession({
      app: pathname.slice(1),
      tcUrl: order.server,
      streamName: this.#streamName,
      chunkSize: chunkSizeBytes,
    })
    this.#socket = connect({
      host: hostname,
      port: Number(port),
      servername: 'localhost',
      rejectUnauthorized: false,
    })
    this.#socket.setNoDelay()
    this.#socket.on('error', () => {})
    this.#socket.once('close', () => {
      if (this.isLive) report.disconnects++
      else if (this.#tries < maxTries) setTimeout(() => this.#connect(), againMs)
    })
    this.#socket.once('secureConnect', () => {
      this.#socket.setMaxSendFragment(chunkSizeBytes + chunkHeadBytes)
      this.#session.start()
      this.#flush()
    })
    this.#socket.on('data', (bytes: Buffer) => {
      for (const event of this.#session.receive(bytes)) {
        if (event.type === 'started') this.#begin()
        else if (event.type === 'status' && event.level === 'error') {
          process.stderr.write(`a publisher was refused: ${event.code}, ${event.description}\n`)
          this.#socket.destroy()
        }
      }
      this.#flush()
    })
  }

  tick(nowMs: number): void {
    if (!this.isLive) return
    for (;;) {
      const loop = Math.floor(this.#next / frames.length)
      const frame = frames[this.#next % frames.length]!
      const timestampMs = frame.timestampMs + loop * order.loopMs
      if (timestampMs > nowMs - this.#startedAtMs) break
      this.#session.sendMedia({ ...frame, timestampMs })
      report.sentBytes += frame.payload.length
      this.#next++
    }
    this.#flush()
    report.maxBacklogBytes = Math.max(report.maxBacklogBytes, this.#socket.writableLength)
  }

  #begin(): void {
    this.#startedAtMs = performance.now()
    for (const message of headers) this.#session.sendMedia(message)
  }

  #flush(): void {
    this.#socket.cork()
    for (const bytes of this.#session.takeOutput()) this.#socket.write(bytes)
    this.#socket.uncork()
  }
}

function readMessages(file: string): MediaMessage[] {
  const read = new FlvReader().read(readFileSync(file))
  if ('fault' in read) throw new Error(read.fault)
  return read.value
}

let liveAtMs = 0
process.once('message', () => {
  report.seconds = (performance.now() - liveAtMs) / 1000
  process.send?.(report, () => process.exit())
})
const publishers: Publisher[] = []
setInterval(() => {
  const nowMs = performance.now()
  for (const publisher of publishers) publisher.tick(nowMs)
}, tickMs)
for (const streamName of order.streamNames) {
  const publisher = new Publisher(streamName)
  publishers.push(publisher)
  await until('the next publisher to be live', () => publisher.isLive)
  await new Promise((resolve) => setTimeout(resolve, startSpreadMs))
}
report.sentBytes = 0
liveAtMs = performance.now()
process.send?.('live')
