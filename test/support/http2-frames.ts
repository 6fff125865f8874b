// An HTTP/2 client that sends whatever frames it is told, valid or not (RFC 9113 §4, RFC 7541 without compression).
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'

export const frameType = {
  data: 0,
  headers: 1,
  priority: 2,
  rstStream: 3,
  settings: 4,
  pushPromise: 5,
  ping: 6,
  goaway: 7,
  windowUpdate: 8,
  continuation: 9,
} as const

export const flag = { ack: 1, endStream: 1, endHeaders: 4, padded: 8, priority: 32 } as const

export interface Frame {
  type: number
  flags: number
  stream: number
  payload: Buffer
}

export function frame(
  type: keyof typeof frameType | number,
  flags = 0,
  stream = 0,
  payload: Uint8Array = Buffer.alloc(0),
): Buffer {
  const head = Buffer.alloc(9)
  head.writeUIntBE(payload.length, 0, 3)
  head[3] = typeof type === 'number' ? type : frameType[type]
  head[4] = flags
  head.writeUInt32BE(stream, 5)
  return Buffer.concat([head, payload])
}

export function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value >>> 0)
  return bytes
}

/** A header block of literals that are not indexed. */
export function headerBlock(fields: readonly (readonly [string, string])[]): Buffer {
  return Buffer.concat(
    fields.flatMap(([name, value]) => [Buffer.from([0]), literal(name), literal(value)]),
  )
}

export function requestFields(path: string): [string, string][] {
  return [
    [':method', 'GET'],
    [':scheme', 'https'],
    [':authority', 'localhost'],
    [':path', path],
  ]
}

export function getFrame(stream: number, path: string, more: [string, string][] = []): Buffer {
  const block = headerBlock([...requestFields(path), ...more])
  return frame('headers', flag.endHeaders | flag.endStream, stream, block)
}

function literal(text: string): Buffer {
  const bytes = Buffer.from(text, 'latin1')
  if (bytes.length < 127) return Buffer.concat([Buffer.from([bytes.length]), bytes])
  const length = [127]
  let rest = bytes.length - 127
  for (; rest >= 128; rest >>= 7) length.push((rest & 127) | 128)
  return Buffer.concat([Buffer.from([...length, rest]), bytes])
}

export const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')

export class Http2FrameClient implements Disposable {
  readonly frames: Frame[] = []
  readonly #socket: Socket
  readonly #closed: Promise<void>
  readonly #changed = new Set<() => void>()
  #isClosed = false
  #rest = Buffer.alloc(0)

  private constructor(socket: Socket) {
    this.#socket = socket
    socket.on('error', () => {})
    socket.on('data', (bytes: Buffer) => this.#read(bytes))
    this.#closed = new Promise((resolve) => {
      const close = () => {
        this.#isClosed = true
        this.#wake()
        resolve()
      }
      socket.once('end', close)
      socket.once('close', close)
    })
  }

  /** Connected, with preface and empty settings sent; over TLS where there is an authority. */
  static async dial(port: number, ca?: string): Promise<Http2FrameClient> {
    const host = '127.0.0.1'
    const socket =
      ca === undefined
        ? connect({ host, port })
        : connectTls({ host, port, ca, servername: 'localhost', ALPNProtocols: ['h2'] })
    const client = new Http2FrameClient(socket)
    await once(socket, ca === undefined ? 'connect' : 'secureConnect')
    client.send(preface, frame('settings'))
    return client
  }

  get isClosed(): boolean {
    return this.#isClosed
  }

  /** The error code of the GOAWAY that came, if one did. */
  get goaway(): number | undefined {
    return this.frames.find(({ type }) => type === frameType.goaway)?.payload.readUInt32BE(4)
  }

  send(...frames: Uint8Array[]): void {
    if (!this.#isClosed && this.#socket.writable) this.#socket.write(Buffer.concat(frames))
  }

  /** Sends again and again, as fast as it is taken, until the connection ends or enough has been sent. */
  async flood(make: (round: number) => Uint8Array[], rounds: number): Promise<number> {
    for (let round = 0; round < rounds; round++) {
      if (this.#isClosed || !this.#socket.writable) return round
      if (!this.#socket.write(Buffer.concat(make(round)))) {
        await Promise.race([once(this.#socket, 'drain').catch(() => {}), this.#closed])
      } else await new Promise((resolve) => setImmediate(resolve))
    }
    return rounds
  }

  /** Resolves when such a frame has come, or the connection has ended. */
  until(holds: (frame: Frame) => boolean): Promise<Frame | undefined> {
    return new Promise((resolve) => {
      const check = () => {
        const found = this.frames.find(holds)
        if (!found && !this.#isClosed) return
        this.#changed.delete(check)
        resolve(found)
      }
      this.#changed.add(check)
      check()
    })
  }

  closed(): Promise<void> {
    return this.#closed
  }

  [Symbol.dispose](): void {
    this.#socket.destroy()
  }

  #read(bytes: Buffer): void {
    this.#rest = Buffer.concat([this.#rest, bytes])
    for (;;) {
      const length = this.#rest.length < 9 ? Infinity : this.#rest.readUIntBE(0, 3)
      if (this.#rest.length < 9 + length) break
      this.frames.push({
        type: this.#rest[3]!,
        flags: this.#rest[4]!,
        stream: this.#rest.readUInt32BE(5) & 0x7fffffff,
        payload: Buffer.from(this.#rest.subarray(9, 9 + length)),
      })
      this.#rest = this.#rest.subarray(9 + length)
    }
    this.#wake()
  }

  #wake(): void {
    for (const check of [...this.#changed]) check()
  }
}
