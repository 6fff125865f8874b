// Follows a drain until nothing is left on the node, and says so line by line.
import { type Clock, delay } from '../common/clock.ts'
import { messageOf, ServiceError } from '../common/errors.ts'

/** As the API tells it. */
export interface Drain {
  since: string | null
  draining: boolean
  streams: number
  left: number
  obstacle: keyof typeof obstacles | null
}

export interface DrainWatchOptions {
  clock: Clock
  /** The drain as it is now. */
  read(): Promise<Drain>
  say(line: string): void
  /** Ends the watching; the drain goes on. */
  signal: AbortSignal
  timeoutMs?: number | undefined
}

/** `undrained`: somebody has let the node in again meanwhile. */
export type DrainWatchOutcome = 'empty' | 'undrained' | 'timeout' | 'stopped'

const pollMs = 1_000

const obstacles = {
  'no-transcoder': 'no other transcoder can take them',
  'publishers-away': 'their publishers are away: they end, or move when those come back',
  'publishers-stay': 'publishers stay with an edge or gateway until they leave',
}

export async function watchDrain(
  first: Drain,
  options: DrainWatchOptions,
): Promise<{ outcome: DrainWatchOutcome; view: Drain }> {
  const { clock, signal, say, timeoutMs = Number.POSITIVE_INFINITY } = options
  const giveUpAt = clock.monotonic() + timeoutMs
  let view = first
  let said = ''
  const sayOnce = (line: string) => {
    if (line !== said) say(line)
    said = line
  }
  let isNews = true
  for (;;) {
    if (view.since === null) return { outcome: 'undrained', view }
    if (view.left === 0) return { outcome: 'empty', view }
    if (isNews) sayOnce(progressText(view))
    const leftMs = giveUpAt - clock.monotonic()
    if (leftMs <= 0) return { outcome: 'timeout', view }
    await delay(clock, Math.min(pollMs, leftMs), signal)
    if (signal.aborted) return { outcome: 'stopped', view }
    try {
      view = await options.read()
      isNews = true
    } catch (err) {
      // A coordinator that is started anew goes on with the drain.
      if (!(err instanceof ServiceError && err.retryable)) throw err
      isNews = false
      sayOnce(`still trying: ${messageOf(err)}`)
    }
  }
}

export function progressText({ streams, left, obstacle }: Drain): string {
  const progress = `${left} of ${streams} streams left`
  return obstacle === null ? progress : `${progress}; ${obstacles[obstacle]}`
}
