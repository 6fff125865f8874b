// Which connection has a channel: the newest that proves the key, and never again one that it replaced.
//
// - The relay that owns a publisher names its connection once and counts its tries upstream: a later try overtakes
//   an earlier one, an earlier one that comes late is refused.
// - Two encoders with one key, each of which connects again when it is thrown out, would take the channel from each
//   other for ever: from the third takeover within a minute on it changes hands at most once in five seconds.
import type { PublishRequest, Replaced } from './contract/placement.ts'
import { type Refusal, refusal } from './contract/refusal.ts'

const dampFrom = 3
const dampWithinMs = 60_000
const dampedEveryMs = 5_000
// More than can be taken over while the relay of the oldest still tries: it gives up after a minute.
export const maxReplaced = 32

/** What a lease knows of its connections. */
export interface ConnectionStanding {
  connection: string | null
  attempt: number | null
  state: 'starting' | 'live' | 'held'
  replaced: readonly Replaced[]
}

export type Claim = { refused: Refusal } | { isTakeover: boolean; replaced: readonly Replaced[] }

/** Whether a connection may have the channel, and whom it replaces. */
export function claimOf(
  lease: ConnectionStanding,
  claimant: Pick<PublishRequest, 'connection' | 'attempt'>,
  nowMs: number,
): Claim {
  const { replaced } = lease
  if (claimant.connection === lease.connection) {
    return claimant.attempt < (lease.attempt ?? 0)
      ? { refused: refusal('already-publishing') }
      : { isTakeover: false, replaced }
  }
  if (replaced.some((it) => it.connection === claimant.connection)) {
    return { refused: refusal('already-publishing') }
  }
  if (lease.connection === null) return { isTakeover: false, replaced }
  const isTakeover = lease.state === 'live'
  if (isTakeover && isDamped(replaced, nowMs)) return { refused: refusal('takeover-too-often') }
  const former = { connection: lease.connection, takenAtMs: isTakeover ? nowMs : null }
  return { isTakeover, replaced: [...replaced, former].slice(-maxReplaced) }
}

function isDamped(replaced: readonly Replaced[], nowMs: number): boolean {
  const agesMs = replaced.flatMap(({ takenAtMs }) => (takenAtMs === null ? [] : nowMs - takenAtMs))
  // A wall clock that was set back makes ages negative; such takeovers count as just now for a minute at most.
  const recent = agesMs.filter((ageMs) => Math.abs(ageMs) < dampWithinMs)
  return recent.length >= dampFrom && recent.some((ageMs) => Math.abs(ageMs) < dampedEveryMs)
}
