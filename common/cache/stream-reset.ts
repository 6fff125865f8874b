// Breaks off an HTTP/2 stream: where the rest of a body will never come, or nobody reads it.
import type { Http2Session, Http2Stream } from 'node:http2'
import type { SendDeadlines } from './send-deadlines.ts'

/** An open HTTP/2 stream that is only closed may still end cleanly before its reset. */
const bodyBroken = 'the rest of the body will never come'

const asked = new WeakSet<Http2Session>()

export function resetStream(stream: Http2Stream): void {
  stream.destroy(new Error(bodyBroken))
}

/**
 * Of a stream alone that may be the player's wish. Where the whole connection is not read, a reset frees nothing of
 * what waits in it, so that it has to answer a PING (RFC 9113 §6.7) in time, too.
 */
export function resetUnread(stream: Http2Stream, deadlines: SendDeadlines): void {
  const { session } = stream
  resetStream(stream)
  if (!session || session.destroyed || asked.has(session)) return
  asked.add(session)
  const ping = { overdue: () => session.destroy() }
  const over = () => {
    asked.delete(session)
    deadlines.taken(ping)
    session.off('close', over)
  }
  session.once('close', over)
  deadlines.wrote(ping, 0)
  session.ping(over)
}
