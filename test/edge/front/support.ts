// A front door on free ports with certificates of a CA made for the test, and clients that speak to it.
import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls'
import { systemClock } from '../../../common/clock.ts'
import { createLogger, type Logger } from '../../../common/log.ts'
import { edgeConfigSchema } from '../../../config/schema.ts'
import {
  FrontDoor,
  type FrontDoorHandlers,
  type FrontDoorOptions,
} from '../../../edge/front/front-door.ts'

export interface DoorOptions {
  handlers?: Partial<FrontDoorHandlers>
  road?: FrontDoorOptions['road']
  limits?: FrontDoorOptions['limits']
  admission?: FrontDoorOptions['admission']
  shared?: FrontDoorOptions['shared']
  config?: Record<string, unknown>
  tls?: Record<string, unknown>
}

export interface TestDoor extends AsyncDisposable {
  door: FrontDoor
  port: number
  httpPort: number
  rtmpPort: number
  dir: string
  ca: string
  logged: LogCapture
}

/** Answers what it was asked, as JSON. */
const echo: FrontDoorHandlers['onRequest'] = (req, res) => {
  res.writeHead(200, { 'content-type': 'application/json' })
  res.end(JSON.stringify({ version: req.httpVersion, method: req.method, url: req.url }))
}

export async function openDoor(options: DoorOptions = {}): Promise<TestDoor> {
  const dir = await mkdtemp(join(tmpdir(), 'nearcast-door-'))
  const config = edgeConfigSchema.parse({
    role: 'edge',
    node: { id: 'pop-1' },
    dataDir: dir,
    cluster: { coordinator: 'http://127.0.0.1:1', secret: 'x'.repeat(32) },
    http: { host: '127.0.0.1', port: 0 },
    rtmp: { enabled: true, host: '127.0.0.1', port: 0 },
    ...options.config,
    tls: { host: '127.0.0.1', port: 0, ...options.tls },
  })
  const logged = captureLog()
  const door = new FrontDoor({
    config,
    handlers: {
      onRequest: echo,
      onRtmp: (socket) => socket.pipe(socket),
      ...options.handlers,
    },
    ...(options.road && { road: options.road }),
    limits: { drainLimitMs: 200, ...options.limits },
    ...(options.admission && { admission: options.admission }),
    ...(options.shared && { shared: options.shared }),
    clock: systemClock,
    log: logged.log,
  })
  const address = await door.start().catch(async (err) => {
    await rm(dir, { recursive: true })
    throw err
  })
  const caFile = join(dir, 'ca', 'ca.pem')
  return {
    door,
    dir,
    logged,
    port: address.tlsPort,
    httpPort: address.httpPort ?? 0,
    rtmpPort: address.rtmpPort ?? 0,
    ca: await readFile(caFile, 'utf8').catch(() => ''),
    async [Symbol.asyncDispose]() {
      await door[Symbol.asyncDispose]()
      await rm(dir, { recursive: true })
    },
  }
}

export async function tlsClient(
  door: Pick<TestDoor, 'port' | 'ca'>,
  options: ConnectionOptions = {},
): Promise<TLSSocket> {
  const socket = connect({
    host: '127.0.0.1',
    port: door.port,
    servername: 'localhost',
    ca: door.ca,
    ...options,
  })
  await once(socket, 'secureConnect')
  return socket
}

/** All that comes until the other side ends. */
export async function readToEnd(socket: AsyncIterable<Buffer>): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of socket) chunks.push(chunk)
  return Buffer.concat(chunks).toString('latin1')
}

export interface LogCapture {
  log: Logger
  lines: readonly Record<string, unknown>[]
  /** Resolves with the first line, past or future, whose message contains the text. */
  until(text: string): Promise<Record<string, unknown>>
}

export function captureLog(): LogCapture {
  const lines: Record<string, unknown>[] = []
  const waiting = new Set<() => void>()
  const log = createLogger({
    name: 'test',
    level: 'debug',
    format: 'json',
    destination: {
      write(line: string) {
        lines.push(JSON.parse(line))
        for (const check of waiting) check()
      },
    },
  })
  const find = (text: string) => lines.find((line) => String(line.msg).includes(text))
  return {
    log,
    lines,
    until: (text) =>
      new Promise((resolve) => {
        const check = () => {
          const line = find(text)
          if (!line) return
          waiting.delete(check)
          resolve(line)
        }
        waiting.add(check)
        check()
      }),
  }
}
