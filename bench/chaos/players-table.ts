// The table of what kills cost players: a line per player, with what was agreed and missed said as missed.
import { quantile, rounded, table } from '../support/statistics.ts'

/** Goal for the stall, of 95 in 100 kills. */
const goalMs = 4_000

export interface WatchedKill {
  /** Player and mode. */
  player: string
  stalledMs: number
  stalls: number
  /** In as much playback before the kill. */
  stalledBeforeMs: number
  /** The media element was emptied: a player that began anew. */
  reloads: number
  /** Jumped over, without having been shown. */
  skippedSeconds: number
  /** False: did not play so long again within the limit. */
  wentOn: boolean
  errors: string[]
}

const head = ['player', 'kills', 'stall s: median', 'p95', 'worst', 'without a kill: p95']
const counts = ['stalls', 'reloads', 'skipped s', 'errors', 'of them fatal', 'verdict']

/** A line for each player, with what was agreed and missed said as missed. */
export function playersTable(kills: readonly WatchedKill[]): string {
  return table([
    [...head, ...counts],
    ...Object.entries(Object.groupBy(kills, ({ player }) => player)).map(([name, own = []]) => {
      const stalls = stallsOf(own).map((ms) => ms / 1_000)
      const sum = (pick: (kill: WatchedKill) => number) =>
        own.reduce((total, kill) => total + pick(kill), 0)
      const misses = missesOfPlayer(own)
      return [
        name,
        `${own.length}`,
        ...[0.5, 0.95, 1].map((share) => rounded(quantile(stalls, share))),
        rounded(
          quantile(
            own.map(({ stalledBeforeMs }) => stalledBeforeMs / 1_000),
            0.95,
          ),
        ),
        `${sum((it) => it.stalls)}`,
        `${sum((it) => it.reloads)}`,
        rounded(sum((it) => it.skippedSeconds)),
        `${sum((it) => it.errors.length)}`,
        `${sum((it) => it.errors.filter((text) => text.startsWith('fatal: ')).length)}`,
        misses.length === 0 ? 'met' : `missed: ${misses.join(', ')}`,
      ]
    }),
  ])
}

/** Of one player; empty where all is well. */
export function missesOfPlayer(kills: readonly WatchedKill[]): string[] {
  const checks: [string, boolean][] = [
    ['did not go on', kills.some(({ wentOn }) => !wentOn)],
    ['stall', quantile(stallsOf(kills), 0.95) > goalMs],
    ['reloads', kills.some(({ reloads }) => reloads > 0)],
  ]
  return checks.filter(([, isMissed]) => isMissed).map(([name]) => name)
}

/** Who never went on counts as endless. */
function stallsOf(kills: readonly WatchedKill[]): number[] {
  return kills.map(({ stalledMs, wentOn }) => (wentOn ? stalledMs : Number.POSITIVE_INFINITY))
}
