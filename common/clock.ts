// The only source of time and timers for whatever a TTL, lease, retry or deadline depends on.
// Tests pass a clock that they turn themselves.

export interface Clock {
  /** Wall time, ms since the Unix epoch: for what people and other machines read. */
  now(): number
  /** Monotonic time in ms with no fixed origin: for durations and deadlines. */
  monotonic(): number
  setTimeout(callback: () => void, ms: number): Timer
  setInterval(callback: () => void, ms: number): Timer
}

export interface Timer {
  cancel(): void
}

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  setTimeout(callback, ms) {
    const id = setTimeout(callback, ms)
    return { cancel: () => clearTimeout(id) }
  },
  setInterval(callback, ms) {
    const id = setInterval(callback, ms)
    return { cancel: () => clearInterval(id) }
  },
}

/** Resolves after `ms`, or as soon as the signal aborts. Never rejects. */
export function delay(clock: Clock, ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve()
    const done = () => {
      timer.cancel()
      signal?.removeEventListener('abort', done)
      resolve()
    }
    const timer = clock.setTimeout(done, ms)
    signal?.addEventListener('abort', done, { once: true })
  })
}
