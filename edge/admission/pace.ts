// How often something may happen: so many times a second, after a burst. One number is all that is kept of the
// past, the time at which the burst would be whole again (the generic cell rate algorithm).

export interface PaceOptions {
  perSecond: number
  /** How many may come at once. */
  burst: number
}

export interface PaceStep {
  /** 0: now. */
  waitMs: number
  /** To be kept for the next step, if this one is taken. */
  wholeAt: number
}

/** What one more at `nowMs` would mean. */
export function paceStep(
  wholeAt: number | undefined,
  nowMs: number,
  { perSecond, burst }: PaceOptions,
): PaceStep {
  const everyMs = 1_000 / perSecond
  const next = Math.max(wholeAt ?? 0, nowMs) + everyMs
  return { wholeAt: next, waitMs: Math.max(0, next - nowMs - burst * everyMs) }
}
