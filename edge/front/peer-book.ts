// Who stands behind connections that a load balancer relays: the addresses of their PROXY headers. A TLS socket is
// not the socket that it was made of, but both name the same two ends, so those are the key.
import type { Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import type { ProxyHeader } from '../../common/net/proxy-protocol.ts'
import { type ConnectionInfo, connectionInfo } from './connection-info.ts'

export type Ends = Pick<Socket, 'remoteAddress' | 'remotePort' | 'localAddress' | 'localPort'>
type Claim = Omit<ConnectionInfo, 'serverName'>

export class PeerBook {
  readonly #claims = new Map<string, Claim>()

  /** Connections that were relayed. */
  get size(): number {
    return this.#claims.size
  }

  /** Believes what a header says of a connection, until that closes. */
  claim(socket: Socket, { source, destination }: ProxyHeader): void {
    // A load balancer that speaks for itself: its health checks.
    if (!source || socket.destroyed) return
    const key = keyOf(socket)
    const own = connectionInfo(socket)
    this.#claims.set(key, {
      remoteAddress: source.address,
      remotePort: source.port,
      localAddress: destination?.address ?? own.localAddress,
      localPort: destination?.port ?? own.localPort,
    })
    socket.once('close', () => this.#claims.delete(key))
  }

  /** Of a connection that is alive, or of the TLS connection inside it. */
  infoOf(socket: Socket | TLSSocket): ConnectionInfo {
    return { ...connectionInfo(socket), ...this.#claimOf(socket) }
  }

  addressOf(socket: Ends): string {
    return this.#claimOf(socket)?.remoteAddress ?? socket.remoteAddress ?? ''
  }

  #claimOf(socket: Ends): Claim | undefined {
    return this.#claims.size === 0 ? undefined : this.#claims.get(keyOf(socket))
  }
}

function keyOf({ remoteAddress, remotePort, localAddress, localPort }: Ends): string {
  return `${remoteAddress} ${remotePort} ${localAddress} ${localPort}`
}
