// The gateway's one port: an optional PROXY header, then RTMP or HTTP by the first byte. In come peers from the
// configured networks and whoever shows the cluster credential; nobody else is served.
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer, type Socket } from 'node:net'
import type { Clock } from '../../common/clock.ts'
import type { ClusterAuth } from '../../common/cluster/cluster-auth.ts'
import type { Logger } from '../../common/log.ts'
import { LogBudget } from '../../common/log-budget.ts'
import { plainAddress } from '../../common/net/addresses.ts'
import type { NetworkList } from '../../common/net/allowed-networks.ts'
import { acceptConnection } from '../../common/net/first-bytes.ts'
import { HttpConnections } from '../../common/net/http-connections.ts'
import type { ListenTarget } from '../../common/net/listen.ts'
import { Listener } from '../../common/net/listener.ts'
import { type ProxyHeader, tlvText } from '../../common/net/proxy-protocol.ts'
import { proxyTlv } from '../../common/relay/proxy-tlvs.ts'
import type { RelayedPublisher } from './publish-ingest.ts'

export interface GatewayDoorOptions {
  trusted: NetworkList
  auth: Pick<ClusterAuth, 'verifyNodeToken'>
  firstByteTimeoutMs: number
  clock: Clock
  log: Logger
  onRtmp(socket: Socket, publisher: RelayedPublisher): void
  onRequest(req: IncomingMessage, res: ServerResponse): void
}

const maxConnections = 10_000
const drainLimitMs = 2_000

export class GatewayDoor implements AsyncDisposable {
  readonly #options: GatewayDoorOptions
  readonly #listener: Listener
  readonly #http: HttpConnections
  readonly #refusalLines: LogBudget
  /** Connections that may ask without a credential. */
  readonly #trustedSockets = new WeakSet<Socket>()

  constructor(options: GatewayDoorOptions) {
    const { clock, log } = options
    this.#options = options
    this.#refusalLines = new LogBudget({ clock, log })
    this.#http = new HttpConnections({
      handlers: { onRequest: (req, res) => this.#request(req, res) },
      log,
    })
    const server = createServer({ noDelay: true }, (socket) => void this.#accept(socket))
    this.#listener = new Listener({ server, maxConnections, drainLimitMs, clock, log })
  }

  /** Resolves with the port. */
  async start(target: ListenTarget): Promise<number> {
    return (await this.#listener.start(target)).port
  }

  async #accept(socket: Socket): Promise<void> {
    const { clock, firstByteTimeoutMs, log, trusted } = this.#options
    const peer = plainAddress(socket.remoteAddress ?? '')
    const accepted = await acceptConnection(socket, {
      clock,
      deadlineMs: firstByteTimeoutMs,
      proxy: 'optional',
    })
    if (accepted.protocol === 'closed') {
      if (accepted.reason !== 'left' && this.#refusalLines.take()) {
        log.warn({ peer, reason: accepted.reason, detail: accepted.detail }, 'connection refused')
      }
      return
    }
    const isTrusted = trusted.includes(peer)
    if (accepted.protocol === 'http') {
      if (isTrusted) this.#trustedSockets.add(socket)
      this.#http.acceptHttp1(socket)
      return
    }
    if (!isTrusted && !(await this.#showsCredential(accepted.proxy))) {
      socket.destroy()
      if (this.#refusalLines.take()) {
        log.warn({ peer }, 'publish from outside the trusted networks refused')
      }
      return
    }
    this.#options.onRtmp(socket, publisherOf(accepted.proxy, peer))
  }

  async #showsCredential(proxy: ProxyHeader | undefined): Promise<boolean> {
    const token = proxy && tlvText(proxy, proxyTlv.nodeToken)
    return token !== undefined && (await this.#options.auth.verifyNodeToken(token)) !== undefined
  }

  async #request(req: IncomingMessage, res: ServerResponse): Promise<void> {
    if (!this.#trustedSockets.has(req.socket)) {
      const token = req.headers.authorization?.replace(/^Bearer /, '') ?? ''
      if ((await this.#options.auth.verifyNodeToken(token)) === undefined) {
        res.writeHead(403, { 'content-type': 'text/plain' })
        res.end('This gateway serves the nodes of its cluster only.\n')
        return
      }
    }
    this.#options.onRequest(req, res)
  }

  /** Stops accepting, lets answers finish for 2 s. Publishers are the ingest's to end. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#listener.stopAccepting()
    this.#http.drain()
    await this.#listener[Symbol.asyncDispose]()
    this.#http[Symbol.dispose]()
  }
}

function publisherOf(proxy: ProxyHeader | undefined, peer: string): RelayedPublisher {
  return {
    clientAddress: proxy?.source?.address ?? peer,
    pop: (proxy && tlvText(proxy, proxyTlv.popId)) ?? null,
  }
}
