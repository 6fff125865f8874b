// Sends the client of an HTTP/2 connection to another one, at a moment when it is not likely to be asking for something.
//
// Chromium gives a request up for good (ERR_FAILED) when a GOAWAY comes after it has chosen a connection for it and before
// it has sent it. Requests come in bursts and on the heels of answers: neither is near while no byte moves either way. And
// who asks for one thing at a time asks for nothing while it waits: so one request is held until the connection is quiet.
import type { Http2Session, ServerHttp2Stream } from 'node:http2'

const quietMs = 20
/** Nobody waits longer for a quiet moment. */
const patienceMs = 200
/** The highest that a client may use. */
const lastStreamId = 2 ** 31 - 1

export class Http2Goodbyes {
  readonly #leaving = new WeakSet<Http2Session>()

  /** Answers whether it holds the request: it is to be answered when `resume` is called, unless it has been given up. */
  hold(stream: ServerHttp2Stream, resume: () => void): boolean {
    const { session } = stream
    if (!session || isOver(session) || this.#leaving.has(session)) return false
    this.#leaving.add(session)
    stream.on('error', ignore)
    whenQuiet(session, () => {
      if (!isOver(session)) sayGoodbye(session)
      stream.off('error', ignore)
      if (!stream.closed && !stream.destroyed) resume()
    })
    return true
  }
}

/**
 * What a client has asked all the same is overlooked by nghttp2 from now on, so that the GOAWAY of close() names the last
 * stream that has come: the client then asks again for all later ones, elsewhere (RFC 9113 §6.8).
 */
function sayGoodbye(session: Http2Session): void {
  session.goaway(0, lastStreamId)
  setImmediate(() => {
    if (!isOver(session)) session.close()
  })
}

function whenQuiet(session: Http2Session, act: () => void): void {
  let checks = patienceMs / quietMs
  let bytes = bytesMoved(session)
  const timer = setInterval(() => {
    const before = bytes
    if (!isOver(session)) bytes = bytesMoved(session)
    if (bytes !== before && --checks > 0) return
    clearInterval(timer)
    act()
  }, quietMs)
}

function ignore(): void {}

function bytesMoved({ socket }: Http2Session): number {
  return socket.bytesRead + socket.bytesWritten
}

function isOver({ closed, destroyed }: Http2Session): boolean {
  return closed || destroyed
}
