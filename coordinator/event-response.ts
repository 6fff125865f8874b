// Answers a request with server-sent events that follow a change feed.
import type { Clock } from '../common/clock.ts'
import type { ChangeFeed } from './change-feed.ts'

const pingIntervalMs = 5_000

export interface EventResponseOptions {
  feed: ChangeFeed
  /** Name of the event that carries the whole state. */
  event: string
  clock: Clock
  /** Ends the response, so that the server can close. */
  closing: AbortSignal
  /** Ends the response after so long: the end of the session that asked. */
  lifeMs?: number
}

/**
 * A slow reader costs one state, not a queue of them: what it has not read yet is replaced by what is newer.
 */
export function eventResponse(options: EventResponseOptions): Response {
  const { feed, event, clock, closing, lifeMs } = options
  const encoder = new TextEncoder()
  let latest: string | undefined
  let isPingDue = false
  let isEnded = closing.aborted
  let wake = Promise.withResolvers<void>()
  const end = () => {
    isEnded = true
    wake.resolve()
  }
  const unfollow = feed.follow((text) => {
    latest = text
    wake.resolve()
  })
  const ping = clock.setInterval(() => {
    isPingDue = true
    wake.resolve()
  }, pingIntervalMs)
  const life = lifeMs === undefined ? undefined : clock.setTimeout(end, lifeMs)
  closing.addEventListener('abort', end, { once: true })
  const stop = () => {
    unfollow()
    ping.cancel()
    life?.cancel()
    closing.removeEventListener('abort', end)
  }

  const body = new ReadableStream<Uint8Array>({
    async pull(controller) {
      while (!isEnded && latest === undefined && !isPingDue) {
        await wake.promise
        wake = Promise.withResolvers<void>()
      }
      if (isEnded) {
        stop()
        return controller.close()
      }
      const text = latest === undefined ? ': ping\n\n' : `event: ${event}\ndata: ${latest}\n\n`
      latest = undefined
      isPingDue = false
      controller.enqueue(encoder.encode(text))
    },
    cancel() {
      stop()
      end()
    },
  })
  return new Response(body, {
    headers: {
      'content-type': 'text/event-stream',
      'cache-control': 'no-store',
      // Keeps a reverse proxy from waiting until its buffer is full.
      'x-accel-buffering': 'no',
    },
  })
}
