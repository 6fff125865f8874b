// C0–S2 (RTMP 1.0 §5.2), for both ends, plain and with digests. Memory: one packet of 1536 bytes.
import { type RtmpError, rtmpError } from './error.ts'
import {
  clientKeys,
  findDigest,
  handshakeBytes,
  isSecondSigned,
  serverKeys,
  signFirst,
  signSecond,
} from './handshake-digest.ts'

const rtmpVersion = 3
/** Version fields of a signed C1 and S1; zero means that there is no digest. */
const clientVersion = 0x80000702
const serverVersion = 0x04050001

export interface HandshakeOptions {
  random: (sizeBytes: number) => Buffer
  /** For the time field. */
  nowMs: () => number
}

/** Collects `size` bytes over several inputs. */
class Gather {
  readonly #buffer: Buffer
  #have = 0

  constructor(sizeBytes: number) {
    this.#buffer = Buffer.allocUnsafe(sizeBytes)
  }

  /** Offset behind what was taken. */
  take(bytes: Buffer, start: number): number {
    const taken = bytes.copy(this.#buffer, this.#have, start)
    this.#have += taken
    return start + taken
  }

  get whole(): Buffer | undefined {
    return this.#have === this.#buffer.length ? this.#buffer : undefined
  }
}

/** Made by both ends: `take` gives the offset behind the bytes that belong to the handshake. */
interface Handshake {
  readonly isDone: boolean
  readonly error: RtmpError | undefined
  take(bytes: Buffer, start: number, out: Buffer[]): number
}

export class ServerHandshake implements Handshake {
  readonly #options: HandshakeOptions
  #stage: 'c0' | 'c1' | 'c2' | 'done' = 'c0'
  #gather = new Gather(1)
  error: RtmpError | undefined

  constructor(options: HandshakeOptions) {
    this.#options = options
  }

  get isDone(): boolean {
    return this.#stage === 'done'
  }

  take(bytes: Buffer, start: number, out: Buffer[]): number {
    let offset = start
    while (offset < bytes.length && this.#stage !== 'done' && !this.error) {
      offset = this.#gather.take(bytes, offset)
      const whole = this.#gather.whole
      if (whole) this.#advance(whole, out)
    }
    return offset
  }

  #advance(packet: Buffer, out: Buffer[]): void {
    if (this.#stage === 'c0') {
      if (packet[0] !== rtmpVersion) {
        this.error = rtmpError('version-unsupported', 'the first byte is not RTMP version 3')
        return
      }
      this.#stage = 'c1'
      this.#gather = new Gather(handshakeBytes)
    } else if (this.#stage === 'c1') {
      this.#answer(packet, out)
      this.#stage = 'c2'
      this.#gather = new Gather(handshakeBytes)
    } else {
      // C2 should echo S1, but encoders send all sorts of things here and it proves nothing.
      this.#stage = 'done'
    }
  }

  #answer(c1: Buffer, out: Buffer[]): void {
    const { random, nowMs } = this.#options
    const s1 = firstPacket(this.#options)
    const found = c1.readUInt32BE(4) === 0 ? undefined : findDigest(c1, clientKeys)
    if (!found) {
      const s2 = Buffer.from(c1)
      s2.writeUInt32BE(nowMs() >>> 0, 4)
      out.push(Buffer.from([rtmpVersion]), s1, s2)
      return
    }
    s1.writeUInt32BE(serverVersion, 4)
    signFirst(s1, found.schema, serverKeys)
    const s2 = random(handshakeBytes)
    signSecond(s2, found.digest, serverKeys)
    out.push(Buffer.from([rtmpVersion]), s1, s2)
  }
}

export class ClientHandshake implements Handshake {
  readonly #options: HandshakeOptions
  readonly #c1: Buffer
  readonly #digest: Buffer | undefined
  #stage: 's0' | 's1' | 's2' | 'done' = 's0'
  #gather = new Gather(1)
  #isPeerSigned = false
  error: RtmpError | undefined

  /** `schema` signs C1, for servers that speak only to Flash. */
  constructor(options: HandshakeOptions, schema?: 8 | 772) {
    this.#options = options
    this.#c1 = firstPacket(options)
    if (schema !== undefined) {
      this.#c1.writeUInt32BE(clientVersion, 4)
      this.#digest = signFirst(this.#c1, schema, clientKeys)
    }
  }

  get isDone(): boolean {
    return this.#stage === 'done'
  }

  start(out: Buffer[]): void {
    out.push(Buffer.from([rtmpVersion]), this.#c1)
  }

  take(bytes: Buffer, start: number, out: Buffer[]): number {
    let offset = start
    while (offset < bytes.length && this.#stage !== 'done' && !this.error) {
      offset = this.#gather.take(bytes, offset)
      const whole = this.#gather.whole
      if (whole) this.#advance(whole, out)
    }
    return offset
  }

  #advance(packet: Buffer, out: Buffer[]): void {
    if (this.#stage === 's0') {
      if (packet[0] !== rtmpVersion) {
        this.error = rtmpError(
          'version-unsupported',
          'the server does not answer with RTMP version 3',
        )
        return
      }
      this.#stage = 's1'
      this.#gather = new Gather(handshakeBytes)
    } else if (this.#stage === 's1') {
      this.#answer(packet, out)
      this.#stage = 's2'
      this.#gather = new Gather(handshakeBytes)
    } else {
      // Without a signature S2 should echo C1; servers that differ harm nobody.
      if (this.#isPeerSigned && !isSecondSigned(packet, this.#digest!, serverKeys)) {
        this.error = rtmpError('handshake-failed', 'the server signed S2 wrongly')
        return
      }
      this.#stage = 'done'
    }
  }

  #answer(s1: Buffer, out: Buffer[]): void {
    const found = this.#digest && findDigest(s1, serverKeys)
    if (!found) {
      const c2 = Buffer.from(s1)
      c2.writeUInt32BE(this.#options.nowMs() >>> 0, 4)
      out.push(c2)
      return
    }
    this.#isPeerSigned = true
    const c2 = this.#options.random(handshakeBytes)
    signSecond(c2, found.digest, clientKeys)
    out.push(c2)
  }
}

function firstPacket({ random, nowMs }: HandshakeOptions): Buffer {
  const packet = Buffer.alloc(handshakeBytes)
  packet.writeUInt32BE(nowMs() >>> 0, 0)
  random(handshakeBytes - 8).copy(packet, 8)
  return packet
}
