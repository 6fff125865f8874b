// Stands in front of a cluster's gateway and does to what one edge asks of it over HTTP what a bad road does: cut it off, or
// make it slow and failing. RTMP and all other edges pass untouched.
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import { join } from 'node:path'
import { parse, stringify } from 'yaml'
import type { Cluster } from '../../test/support/cluster.ts'
import { freePort } from '../../test/support/free-port.ts'
import { isBack, kill } from './strikes.ts'

export type FrontRule =
  | { kind: 'pass' }
  /** No byte moves either way, on connections that stand and those that come. */
  | { kind: 'cut' }
  /** Each request for media waits so long; then so many of ten are answered 503 here. */
  | { kind: 'brown-out'; ms: number; failedOfTen: number }

/** Of the struck edge, for media; noted when it would reach the gateway. */
export interface AskedOfGateway {
  /** Path and query. */
  path: string
  atMs: number
}

interface Line {
  client: Socket
  gateway: Socket
  /** Read, and no whole head yet. */
  text: string
  isOfStruck: boolean
  /** Heads that wait for the road to be whole again. */
  held: string[]
}

const host = '127.0.0.1'
const headEnd = '\r\n\r\n'
const failure = 'HTTP/1.1 503 Service Unavailable\r\ncontent-length: 2\r\n\r\n{}'

export class GatewayFront implements AsyncDisposable {
  readonly asked: AskedOfGateway[] = []
  readonly #server: Server
  readonly #gatewayPort: number
  readonly #struckEdge: string
  readonly #lines = new Set<Line>()
  readonly #timers = new Set<NodeJS.Timeout>()
  #rule: FrontRule = { kind: 'pass' }
  #requests = 0

  private constructor(server: Server, gatewayPort: number, struckEdge: string) {
    this.#server = server
    this.#gatewayPort = gatewayPort
    this.#struckEdge = struckEdge
    server.on('connection', (client) => this.#accept(client))
  }

  /** Resolves when the only gateway of the cluster serves behind it. */
  static async start(cluster: Cluster, struckEdge: string): Promise<GatewayFront> {
    const gateway = cluster.facts.gateways[0]!
    const file = join(cluster.dir, 'config', `${gateway.id}.yaml`)
    const settings = parse(readFileSync(file, 'utf8'))
    settings.listen.port = await freePort()
    const server = createServer({ noDelay: true }).listen(0, host)
    await once(server, 'listening')
    const front = new GatewayFront(server, settings.listen.port, struckEdge)
    settings.publicUrl = `http://${host}:${(server.address() as AddressInfo).port}`
    writeFileSync(file, stringify(settings))
    kill(gateway.pid)
    await isBack(cluster, gateway)
    return front
  }

  obey(rule: FrontRule): void {
    this.#rule = rule
    for (const line of this.#lines) this.#steer(line)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const timer of this.#timers) clearTimeout(timer)
    for (const { client, gateway } of this.#lines) {
      client.destroy()
      gateway.destroy()
    }
    const closed = once(this.#server, 'close')
    this.#server.close()
    await closed
  }

  #accept(client: Socket): void {
    const gateway = connect({ host, port: this.#gatewayPort, noDelay: true })
    const line: Line = { client, gateway, text: '', isOfStruck: false, held: [] }
    this.#lines.add(line)
    for (const [one, other] of [
      [client, gateway],
      [gateway, client],
    ] as const) {
      one.on('error', () => {})
      one.on('close', () => {
        this.#lines.delete(line)
        other.destroySoon()
      })
    }
    gateway.on('data', (bytes: Buffer) => {
      if (!client.write(bytes)) gateway.pause()
    })
    client.on('drain', () => this.#steer(line))
    const read = (bytes: Buffer) => {
      line.text += bytes.toString('latin1')
      const isWhole = line.text.includes(headEnd)
      const isOfHttp = line.text.startsWith('GET ')
      if (isOfHttp && !isWhole) return
      client.off('data', read)
      line.isOfStruck = isOfHttp && askerOf(line.text) === this.#struckEdge
      if (line.isOfStruck) {
        client.on('data', (more: Buffer) => this.#read(line, more.toString('latin1')))
        this.#steer(line)
        this.#read(line, '')
      } else {
        gateway.write(line.text, 'latin1')
        client.pipe(gateway)
      }
    }
    client.on('data', read)
  }

  /** While the road is cut an edge is still heard: who has hung up by its end was never there. */
  #read(line: Line, text: string): void {
    const heads = (line.text + text).split(headEnd)
    line.text = heads.pop()!
    for (const head of heads) this.#request(line, head + headEnd)
  }

  #request(line: Line, head: string): void {
    const rule = this.#rule
    if (rule.kind === 'cut') {
      line.held.push(head)
      return
    }
    const path = head.split(' ', 2)[1]!
    const isMedia = path.startsWith('/live/')
    if (isMedia) this.asked.push({ path, atMs: performance.now() })
    if (rule.kind === 'pass' || !isMedia) {
      line.gateway.write(head, 'latin1')
      return
    }
    // Spread evenly: 7 and 10 have no divisor in common.
    const isFailed = (this.#requests++ * 7) % 10 < rule.failedOfTen
    const timer = setTimeout(() => {
      this.#timers.delete(timer)
      if (isFailed) line.client.write(failure)
      else line.gateway.write(head, 'latin1')
    }, rule.ms)
    this.#timers.add(timer)
  }

  #steer(line: Line): void {
    const { gateway, isOfStruck } = line
    if (isOfStruck && this.#rule.kind === 'cut') {
      gateway.pause()
      return
    }
    gateway.resume()
    for (const head of line.held.splice(0)) this.#request(line, head)
  }
}

function askerOf(head: string): string | undefined {
  const token = /^authorization: Bearer (\S+)/im.exec(head)?.[1]
  const claims = token?.split('.')[1]
  return claims && JSON.parse(Buffer.from(claims, 'base64url').toString()).sub
}
