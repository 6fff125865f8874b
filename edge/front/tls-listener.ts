// The one TLS port: HTTP/2 by ALPN, otherwise RTMP or HTTP/1.1 by the first decrypted byte.
//
// Deadlines one after the other: TLS handshake, first byte, then those of the protocol. A client that offers
// only protocols we do not speak is refused by OpenSSL (RFC 7301 §3.2); RTMP encoders offer none.
import { constants } from 'node:crypto'
import { createServer, type Server, type TLSSocket } from 'node:tls'
import type { Clock } from '../../common/clock.ts'
import type { Logger } from '../../common/log.ts'
import { acceptConnection } from '../../common/net/first-bytes.ts'
import type { HttpConnections } from '../../common/net/http-connections.ts'
import type { CertificateStore } from './certificates.ts'
import { type ConnectionInfo, connectionInfo, type RtmpHandler } from './connection-info.ts'

export interface TlsListenerOptions {
  certificates: CertificateStore
  http: HttpConnections
  onRtmp: RtmpHandler
  handshakeTimeoutMs: number
  firstByteTimeoutMs: number
  clock: Clock
  log: Logger
  onHandshakeError?(): void
}

/** A server that does not listen yet; the certificates have been loaded. */
export function createTlsServer(options: TlsListenerOptions): Server {
  const { certificates, log } = options
  const context = () => ({
    ...certificates.default,
    minVersion: 'TLSv1.2' as const,
    // A client could make us repeat the costly part of the handshake (TLS 1.2 only).
    secureOptions: constants.SSL_OP_NO_RENEGOTIATION,
  })
  const server = createServer({
    ...context(),
    ALPNProtocols: ['h2', 'http/1.1'],
    handshakeTimeout: options.handshakeTimeoutMs,
    SNICallback: (name, done) => done(null, certificates.select(name)),
    noDelay: true,
  })
  certificates.onChange(() => server.setSecureContext(context()))
  server.on('tlsClientError', (err, socket) => {
    options.onHandshakeError?.()
    log.debug({ detail: err.message, peer: socket.remoteAddress }, 'TLS handshake failed')
    socket.destroy()
  })
  server.on('secureConnection', (socket) => {
    if (socket.alpnProtocol === 'h2') options.http.acceptHttp2(socket)
    else void accept(socket, options)
  })
  return server
}

async function accept(socket: TLSSocket, options: TlsListenerOptions): Promise<void> {
  const { clock, firstByteTimeoutMs, http, log, onRtmp } = options
  const info: ConnectionInfo = connectionInfo(socket)
  const accepted = await acceptConnection(socket, {
    clock,
    deadlineMs: firstByteTimeoutMs,
    proxy: 'none',
  })
  if (accepted.protocol === 'closed') {
    log.debug({ peer: info.remoteAddress, reason: accepted.reason }, 'connection closed')
    return
  }
  if (accepted.protocol === 'http') http.acceptHttp1(socket)
  else onRtmp(socket, info)
}
