// The gateway's one port: an optional PROXY header, then RTMP or HTTP by the first byte. In come peers from the
// configured networks and whoever shows the cluster credential; nobody else is even answered.
import { createServer as createHttpServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { createServer, type Socket } from 'node:net'
import type { Clock } from '../../common/clock.ts'
import type { ClusterAuth } from '../../common/cluster/cluster-auth.ts'
import type { Logger } from '../../common/log.ts'
import { plainAddress } from '../../common/net/addresses.ts'
import type { NetworkList } from '../../common/net/allowed-networks.ts'
import { acceptConnection } from '../../common/net/first-bytes.ts'
import { type ListenTarget, listen } from '../../common/net/listen.ts'
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

const headersTimeoutMs = 10_000
const maxHeaderBytes = 16 * 1024
const drainLimitMs = 2_000

export class GatewayDoor implements AsyncDisposable {
  readonly #options: GatewayDoorOptions
  readonly #server = createServer({ noDelay: true })
  readonly #http: Server
  readonly #sockets = new Set<Socket>()
  /** Connections that may ask without a credential. */
  readonly #trustedSockets = new WeakSet<Socket>()

  constructor(options: GatewayDoorOptions) {
    this.#options = options
    this.#http = createHttpServer(
      {
        headersTimeout: headersTimeoutMs,
        requestTimeout: headersTimeoutMs,
        connectionsCheckingInterval: 1_000,
        maxHeaderSize: maxHeaderBytes,
      },
      (req, res) => void this.#request(req, res),
    )
    this.#server.on('connection', (socket) => void this.#accept(socket))
  }

  /** Resolves with the port. */
  async start(target: ListenTarget): Promise<number> {
    const { port } = await listen(this.#server, target)
    // A server that never listened checks no timeouts until it has seen this event.
    this.#http.emit('listening')
    return port
  }

  async #accept(socket: Socket): Promise<void> {
    const { clock, firstByteTimeoutMs, log, trusted } = this.#options
    this.#sockets.add(socket)
    socket.once('close', () => this.#sockets.delete(socket))
    const peer = plainAddress(socket.remoteAddress ?? '')
    const accepted = await acceptConnection(socket, {
      clock,
      deadlineMs: firstByteTimeoutMs,
      proxy: 'optional',
    })
    if (accepted.protocol === 'closed') {
      if (accepted.reason !== 'left') {
        log.warn({ peer, reason: accepted.reason, detail: accepted.detail }, 'connection refused')
      }
      return
    }
    const isTrusted = trusted.includes(peer)
    if (accepted.protocol === 'http') {
      if (isTrusted) this.#trustedSockets.add(socket)
      this.#http.emit('connection', socket)
      return
    }
    if (!isTrusted && !(await this.#showsCredential(accepted.proxy))) {
      log.warn({ peer }, 'publish from outside the trusted networks refused')
      socket.destroy()
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
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()))
    this.#http.close()
    this.#http.closeIdleConnections()
    const limit = this.#options.clock.setTimeout(() => {
      for (const socket of this.#sockets) socket.destroy()
    }, drainLimitMs)
    await closed
    limit.cancel()
  }
}

function publisherOf(proxy: ProxyHeader | undefined, peer: string): RelayedPublisher {
  return {
    clientAddress: proxy?.source?.address ?? peer,
    pop: (proxy && tlvText(proxy, proxyTlv.popId)) ?? null,
  }
}
