// The ports without TLS: HTTP for viewers, and RTMP where an operator has allowed it.
import { createServer, type Server } from 'node:net'
import type { Clock } from '../../common/clock.ts'
import type { Logger } from '../../common/log.ts'
import { acceptConnection } from '../../common/net/first-bytes.ts'
import type { HttpConnections } from '../../common/net/http-connections.ts'
import { connectionInfo, type RtmpHandler } from './connection-info.ts'

/** A server that does not listen yet. */
export function createPlainHttpServer(http: HttpConnections): Server {
  return createServer({ noDelay: true }, (socket) => http.acceptHttp1(socket))
}

export interface PlainRtmpOptions {
  onRtmp: RtmpHandler
  firstByteTimeoutMs: number
  clock: Clock
  log: Logger
}

/** A server that does not listen yet. */
export function createPlainRtmpServer(options: PlainRtmpOptions): Server {
  const { clock, firstByteTimeoutMs, log, onRtmp } = options
  return createServer({ noDelay: true }, async (socket) => {
    const info = connectionInfo(socket)
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
