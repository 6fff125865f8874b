// The ports without TLS: HTTP for viewers, and RTMP where an operator has allowed it.
import { createServer, type Server } from 'node:net'
import type { Clock } from '../../common/clock.ts'
import type { Logger } from '../../common/log.ts'
import { acceptConnection } from '../../common/net/first-bytes.ts'
import type { HttpConnections } from '../../common/net/http-connections.ts'
import type { RtmpHandler } from './connection-info.ts'
import type { Gate } from './gate.ts'

/** A server that does not listen yet. */
export function createPlainHttpServer(http: HttpConnections, gate: Gate): Server {
  return createServer({ noDelay: true }, async (socket) => {
    if (await gate.admit(socket, 'viewer')) http.acceptHttp1(socket)
  })
}

export interface PlainRtmpOptions {
  gate: Gate
  onRtmp: RtmpHandler
  firstByteTimeoutMs: number
  clock: Clock
  log: Logger
}

/** A server that does not listen yet. */
export function createPlainRtmpServer(options: PlainRtmpOptions): Server {
  const { clock, firstByteTimeoutMs, gate, log, onRtmp } = options
  return createServer({ noDelay: true }, async (socket) => {
    const info = await gate.admit(socket, 'unknown')
    if (!info) return
    const accepted = await acceptConnection(socket, {
      clock,
      deadlineMs: firstByteTimeoutMs,
      proxy: 'none',
    })
    if (accepted.protocol === 'rtmp') {
      onRtmp(socket, info)
      return
    }
    socket.destroy()
    log.debug({ peer: info.remoteAddress }, 'connection closed: not RTMP')
  })
}
