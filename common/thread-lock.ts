// A lock that threads of one process share, for what takes several writes and must not be come between.

// A thread that is ended while it has the lock never lets go: rather twice or torn than never.
const longestWaitMs = 100

/** Of `createThreadLock`, passed to each thread. Not for a thread that has it already. */
export function withThreadLock<T>(shared: SharedArrayBuffer, act: () => T): T {
  const lock = new Int32Array(shared)
  if (Atomics.compareExchange(lock, 0, 0, 1) !== 0) {
    const deadline = performance.now() + longestWaitMs
    while (Atomics.compareExchange(lock, 0, 0, 1) !== 0 && performance.now() < deadline) {
      Atomics.wait(lock, 0, 1, 1)
    }
  }
  try {
    return act()
  } finally {
    Atomics.store(lock, 0, 0)
  }
}

export function createThreadLock(): SharedArrayBuffer {
  return new SharedArrayBuffer(4)
}
