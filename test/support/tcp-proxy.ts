// A TCP proxy between two nodes that does to a connection what networks do: break it, swallow it, hold it up.
//
// A black hole stops reading: the sender's kernel fills up and hears nothing, as when packets are lost. Connections
// that come meanwhile are accepted, which a lost network would not do; nobody answers them.
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'

export type Direction = 'up' | 'down'

export type ProxyRule =
  | { kind: 'pass' }
  /** New connections are reset at once. */
  | { kind: 'refuse' }
  /** Nothing moves in these directions; up is from the client to the target. */
  | { kind: 'black-hole'; directions: readonly Direction[] }
  /** Each piece waits so long; the order stays. */
  | { kind: 'delay'; ms: number }

export interface ProxyTarget {
  host: string
  port: number
}

interface Pair {
  client: Socket
  target: Socket
}

/** What has gone over one connection. */
export interface Traffic {
  /** The first bytes of the client. */
  opening: Buffer
  up: number
  down: number
}

/** Hears each piece that a client has sent. */
export type UpListener = (bytes: Buffer, connection: Traffic) => void

const openingBytes = 1_024
const passing: ProxyRule = { kind: 'pass' }

export class TcpProxy implements AsyncDisposable {
  readonly port: number
  readonly #server: Server
  readonly #target: ProxyTarget
  readonly #onUp: UpListener | undefined
  readonly #pairs = new Set<Pair>()
  readonly #timers = new Set<NodeJS.Timeout>()
  #rule = passing
  /** Of all connections there were. */
  accepted = 0
  /** Of all that were let through, in the order in which they came. */
  readonly traffic: Traffic[] = []

  private constructor(server: Server, target: ProxyTarget, onUp: UpListener | undefined) {
    this.#server = server
    this.#target = target
    this.#onUp = onUp
    this.port = (server.address() as AddressInfo).port
    server.on('connection', (client) => this.#accept(client))
  }

  static async start(target: ProxyTarget, onUp?: UpListener): Promise<TcpProxy> {
    const server = createServer({ pauseOnConnect: true, allowHalfOpen: true })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    return new TcpProxy(server, target, onUp)
  }

  get connections(): number {
    return this.#pairs.size
  }

  /** Holds for connections that stand and those that come. */
  obey(rule: ProxyRule): void {
    this.#rule = rule
    for (const pair of this.#pairs) this.#steer(pair)
  }

  /** Both ends of every connection see a reset. */
  reset(): void {
    for (const { client, target } of this.#pairs) {
      client.resetAndDestroy()
      target.resetAndDestroy()
    }
  }

  /** Every connection ends in this direction only, as half-open ones do. */
  endHalf(direction: Direction): void {
    for (const { client, target } of this.#pairs) (direction === 'up' ? target : client).end()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const timer of this.#timers) clearTimeout(timer)
    this.reset()
    const closed = once(this.#server, 'close')
    this.#server.close()
    await closed
  }

  #accept(client: Socket): void {
    this.accepted++
    client.on('error', () => {})
    if (this.#rule.kind === 'refuse') {
      client.resetAndDestroy()
      return
    }
    const target = connect({ ...this.#target, allowHalfOpen: true, noDelay: true })
    client.setNoDelay(true)
    target.on('error', () => client.resetAndDestroy())
    const pair = { client, target }
    this.#pairs.add(pair)
    this.#count(pair)
    this.#join(client, target)
    this.#join(target, client)
    const gone = () => {
      if (client.destroyed && target.destroyed) this.#pairs.delete(pair)
    }
    client.once('close', () => {
      target.destroySoon()
      gone()
    })
    target.once('close', () => {
      client.destroySoon()
      gone()
    })
    this.#steer(pair)
  }

  #count({ client, target }: Pair): void {
    const traffic: Traffic = { opening: Buffer.alloc(0), up: 0, down: 0 }
    this.traffic.push(traffic)
    client.on('data', (bytes: Buffer) => {
      if (traffic.up < openingBytes) {
        traffic.opening = Buffer.concat([traffic.opening, bytes]).subarray(0, openingBytes)
      }
      traffic.up += bytes.length
      this.#onUp?.(bytes, traffic)
    })
    target.on('data', (bytes: Buffer) => {
      traffic.down += bytes.length
    })
  }

  #join(from: Socket, to: Socket): void {
    from.on('data', (bytes: Buffer) => {
      this.#later(() => {
        if (!to.destroyed && !to.write(bytes)) from.pause()
      })
    })
    from.on('end', () => this.#later(() => to.end()))
    to.on('drain', () => {
      if (!this.#isHeld(from)) from.resume()
    })
  }

  #later(act: () => void): void {
    if (this.#rule.kind !== 'delay') {
      act()
      return
    }
    const timer = setTimeout(() => {
      this.#timers.delete(timer)
      act()
    }, this.#rule.ms)
    this.#timers.add(timer)
  }

  #steer(pair: Pair): void {
    for (const socket of [pair.client, pair.target]) {
      if (this.#isHeld(socket)) socket.pause()
      else socket.resume()
    }
  }

  #isHeld(from: Socket): boolean {
    if (this.#rule.kind !== 'black-hole') return false
    const isClient = [...this.#pairs].some(({ client }) => client === from)
    return this.#rule.directions.includes(isClient ? 'up' : 'down')
  }
}
