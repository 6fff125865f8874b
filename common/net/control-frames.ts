// Bounds what an HTTP/2 client can make us answer without asking for anything: each PING and each SETTINGS costs a frame
// in return. nghttp2 ends a connection that does not take these, but not one that does.
import { constants, type Http2Session } from 'node:http2'

const burst = 100
/** Browsers ping to see whether a connection is alive, some before each request: seldom more than once a second. */
const perSecond = 10

export function limitControlFrames(session: Http2Session): void {
  let left = burst
  let countedAt = performance.now()
  const count = () => {
    const now = performance.now()
    left = Math.min(burst, left + ((now - countedAt) * perSecond) / 1_000) - 1
    countedAt = now
    if (left >= 0 || session.destroyed) return
    session.destroy(undefined, constants.NGHTTP2_ENHANCE_YOUR_CALM)
  }
  session.on('ping', count)
  session.on('remoteSettings', count)
}
