// The state feed's two sources as a browser has them.
import { systemClock } from '../../../common/clock.ts'
import { type ApiClient, ApiError, problemOf } from './client.ts'
import { StateFeed } from './state-feed.ts'

export function browserFeed(client: ApiClient, token: string, onSignedOut: () => void): StateFeed {
  return new StateFeed({
    clock: systemClock,
    onSignedOut,
    async open(signal) {
      const response = await fetch('/api/v1/events', {
        signal,
        cache: 'no-store',
        headers: { authorization: `Bearer ${token}`, accept: 'text/event-stream' },
      })
      if (!response.ok) throw problemOf(response.status, await response.text())
      const isEvents = response.headers.get('content-type')?.startsWith('text/event-stream')
      if (!isEvents || !response.body)
        throw new ApiError(response.status, 'unexpected', 'no events')
      return pieces(response.body)
    },
    async ask() {
      const [nodes, streams] = await Promise.all([client.nodes(), client.streams()])
      return { now: new Date().toISOString(), nodes, streams }
    },
  })
}

/** Not every browser iterates over a body by itself. */
async function* pieces(body: ReadableStream<Uint8Array>): AsyncIterable<Uint8Array> {
  const reader = body.getReader()
  try {
    for (;;) {
      const { done, value } = await reader.read()
      if (done) return
      yield value
    }
  } finally {
    reader.cancel().catch(() => {})
  }
}
