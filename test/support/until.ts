// Waits for a state of the real world that has no event to listen to.

/**
 * Calls `probe` until it gives something other than undefined or false; rejects after `limitMs` with the last
 * error or `what`. A probe that throws counts as not yet.
 */
export async function until<T>(
  what: string,
  probe: () => Promise<T | undefined | false> | T | undefined | false,
  limitMs = 30_000,
): Promise<T> {
  const deadline = performance.now() + limitMs
  let last: unknown
  for (;;) {
    try {
      const value = await probe()
      if (value !== undefined && value !== false) return value
    } catch (err) {
      last = err
    }
    if (performance.now() > deadline) {
      throw new Error(`waited ${limitMs} ms for: ${what}`, { cause: last })
    }
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}
