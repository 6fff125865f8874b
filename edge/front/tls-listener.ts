// The one TLS port: HTTP/2 by ALPN, otherwise RTMP or HTTP/1.1 by the first decrypted byte.
//
// Deadlines one after the other: PROXY header (where one is due), ClientHello, TLS handshake, first byte, then those of the protocol. A client
// that offers only protocols we do not speak is refused by OpenSSL (RFC 7301 §3.2); RTMP encoders offer none.
//
// Two TLS servers share the port, because librtmp over GnuTLS cannot speak TLS 1.3: it takes the session ticket
// that follows the handshake for a failed read, and Node has no switch for tickets. Such a client is known by
// what it does not say: neither a server name nor ALPN. It gets TLS 1.2; everybody else gets what they ask for.
import { constants } from 'node:crypto'
import { createServer, type Server, type Socket } from 'node:net'
import {
  createServer as createTlsServer,
  type SecureVersion,
  type TLSSocket,
  type Server as TlsServer,
} from 'node:tls'
import type { Clock } from '../../common/clock.ts'
import type { Logger } from '../../common/log.ts'
import { acceptConnection } from '../../common/net/first-bytes.ts'
import type { HttpConnections } from '../../common/net/http-connections.ts'
import { peek } from '../../common/net/peek.ts'
import type { Certificates } from './certificate-set.ts'
import { type ClientHello, parseClientHello } from './client-hello.ts'
import type { RtmpHandler } from './connection-info.ts'
import type { Descriptors } from './descriptors.ts'
import type { Gate } from './gate.ts'
import type { PeerBook } from './peer-book.ts'

export interface TlsPortOptions {
  certificates: Certificates
  /** The same at all that share the port, or a client resumes its session at one of them only. */
  ticketKeys?: Buffer | undefined
  http: HttpConnections
  gate: Gate
  descriptors: Pick<Descriptors, 'allows'>
  peers: PeerBook
  onRtmp: RtmpHandler
  offersHttp2: boolean
  handshakeTimeoutMs: number
  firstByteTimeoutMs: number
  clock: Clock
  log: Logger
  onHandshakeError?(): void
}

/** A server that does not listen yet; the certificates have been loaded. */
export function createTlsPort(options: TlsPortOptions): Server {
  const current = createTls(options, 'TLSv1.3')
  const older = createTls(options, 'TLSv1.2')
  const { clock, gate, handshakeTimeoutMs: deadlineMs, log } = options
  return createServer({ noDelay: true }, async (socket: Socket) => {
    const info = await gate.admit(socket, 'unknown')
    if (!info) return
    const peeked = await peek(socket, { clock, deadlineMs }, (bytes) => {
      const hello = parseClientHello(bytes)
      return hello.kind === 'more' ? undefined : { value: hello }
    })
    if (peeked.kind === 'seen') {
      const server = isOldClient(peeked.value) ? older : current
      server.emit('connection', socket)
      return
    }
    if (peeked.kind === 'silent') options.onHandshakeError?.()
    log.debug({ peer: info.remoteAddress, detail: peeked.kind }, 'TLS handshake failed')
  })
}

function isOldClient(hello: ClientHello): boolean {
  return hello.kind === 'hello' && !hello.hasServerName && !hello.hasAlpn
}

/** A TLS server that never listens: connections are put into it. */
function createTls(options: TlsPortOptions, maxVersion: SecureVersion): TlsServer {
  const { certificates, log, peers } = options
  const context = () => ({
    ...certificates.default,
    ...(options.ticketKeys && { ticketKeys: options.ticketKeys }),
    minVersion: 'TLSv1.2' as const,
    maxVersion,
    // A client could make us repeat the costly part of the handshake (TLS 1.2 only).
    secureOptions: constants.SSL_OP_NO_RENEGOTIATION,
  })
  const server = createTlsServer({
    ...context(),
    ALPNProtocols: options.offersHttp2 ? ['h2', 'http/1.1'] : ['http/1.1'],
    handshakeTimeout: options.handshakeTimeoutMs,
    SNICallback: (name, done) => done(null, certificates.select(name)),
  })
  certificates.onChange(() => server.setSecureContext(context()))
  server.on('tlsClientError', (err, socket) => {
    options.onHandshakeError?.()
    log.debug({ detail: err.message, peer: peers.addressOf(socket) }, 'TLS handshake failed')
    socket.destroy()
  })
  server.on('secureConnection', (socket) => {
    if (socket.alpnProtocol !== 'h2') void accept(socket, options)
    else if (options.descriptors.allows(socket, 'viewer')) options.http.acceptHttp2(socket)
    else socket.destroy()
  })
  return server
}

async function accept(socket: TLSSocket, options: TlsPortOptions): Promise<void> {
  const { clock, descriptors, firstByteTimeoutMs, http, log, onRtmp, peers } = options
  const info = peers.infoOf(socket)
  const accepted = await acceptConnection(socket, {
    clock,
    deadlineMs: firstByteTimeoutMs,
    proxy: 'none',
  })
  if (accepted.protocol === 'closed') {
    log.debug({ peer: info.remoteAddress, reason: accepted.reason }, 'connection closed')
    return
  }
  if (accepted.protocol === 'rtmp') onRtmp(socket, info)
  else if (descriptors.allows(socket, 'viewer')) http.acceptHttp1(socket)
  else socket.destroy()
}
