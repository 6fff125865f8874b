// Who is at the other end of a connection, taken while it is alive: Node forgets it when the socket closes.
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { TLSSocket } from 'node:tls'
import { plainAddress } from '../../common/net/addresses.ts'

export interface ConnectionInfo {
  remoteAddress: string
  remotePort: number
  localAddress: string
  localPort: number
  /** SNI of a TLS connection. */
  serverName: string | undefined
}

/** Gets a socket from which nothing has been read. */
export type RtmpHandler = (socket: Duplex, info: ConnectionInfo) => void

export function connectionInfo(socket: Socket | TLSSocket): ConnectionInfo {
  const serverName = 'servername' in socket && socket.servername ? socket.servername : undefined
  return {
    remoteAddress: plainAddress(socket.remoteAddress ?? ''),
    remotePort: socket.remotePort ?? 0,
    localAddress: plainAddress(socket.localAddress ?? ''),
    localPort: socket.localPort ?? 0,
    serverName,
  }
}
