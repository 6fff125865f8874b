// The gateway's ports: an optional PROXY header, then RTMP or HTTP by the first byte. In by the plain one come peers
// from the configured networks and whoever shows the cluster credential; by the one with mutual TLS, where that is
// on, whoever has a certificate of the configured authority. Nobody else is served.
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer, type Server, type Socket } from 'node:net'
import { createServer as createTlsServer, type TLSSocket } from 'node:tls'
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
import type { MutualTls } from '../../common/net/mutual-tls.ts'
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
  readonly #listeners: Listener[] = []
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
  }

  /** Resolves with the port. */
  start(target: ListenTarget): Promise<number> {
    const { trusted } = this.#options
    const server = createServer(
      { noDelay: true },
      (socket) => void this.#accept(socket, trusted.includes(socket.remoteAddress)),
    )
    return this.#listen(server, target)
  }

  /** Resolves with the port. A peer whose certificate is believed needs nothing else. */
  startTls(target: ListenTarget, tls: MutualTls): Promise<number> {
    const { firstByteTimeoutMs, log } = this.#options
    const server = createTlsServer(
      {
        ...tls,
        noDelay: true,
        minVersion: 'TLSv1.3',
        requestCert: true,
        rejectUnauthorized: true,
        handshakeTimeout: firstByteTimeoutMs,
      },
      (socket) => void this.#accept(socket, true),
    )
    // A TLS socket may have no address by the time its error is told; the socket below it is closed right before.
    let gone: string | undefined
    server.on('connection', (socket: Socket) => {
      const { remoteAddress } = socket
      socket.once('close', () => {
        gone = remoteAddress
      })
    })
    server.on('tlsClientError', (err, socket) => {
      const peer = plainAddress(socket.remoteAddress ?? gone ?? '')
      const detail = handshakeFault(err, socket)
      if (this.#refusalLines.take()) log.warn({ peer, reason: 'tls', detail }, 'connection refused')
      socket.destroy()
    })
    return this.#listen(server, target)
  }

  async #listen(server: Server, target: ListenTarget): Promise<number> {
    const { clock, log } = this.#options
    const listener = new Listener({ server, maxConnections, drainLimitMs, clock, log })
    const { port } = await listener.start(target)
    this.#listeners.push(listener)
    return port
  }

  async #accept(socket: Socket, isTrusted: boolean): Promise<void> {
    const { clock, firstByteTimeoutMs, log } = this.#options
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
    for (const listener of this.#listeners) void listener.stopAccepting()
    this.#http.drain()
    await Promise.all(this.#listeners.map((listener) => listener[Symbol.asyncDispose]()))
    this.#http[Symbol.dispose]()
  }
}

/** Node says of a client whose certificate is not believed only that it has gone. */
function handshakeFault({ message }: Error, { authorizationError }: TLSSocket): string {
  return authorizationError ? `certificate not believed: ${authorizationError}` : message
}

function publisherOf(proxy: ProxyHeader | undefined, peer: string): RelayedPublisher {
  return {
    clientAddress: proxy?.source?.address ?? peer,
    pop: (proxy && tlvText(proxy, proxyTlv.popId)) ?? null,
  }
}
