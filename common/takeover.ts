// Which connection has a channel: the newest that proves the key, and never again one that it replaced.
//
// - The relay that owns a publisher names its connection once and counts its tries upstream: a later try overtakes
//   an earlier one, an earlier one that comes late is refused.
// - Whoever is placed waits until its transcoder has let it in, and replaces nobody before that.
// - Two encoders with one key, each of which connects again when it is thrown out, would take the channel from each
//   other for ever: from the third takeover within a minute on it changes hands at most once in five seconds.
import type { PublishRequest, Replaced } from './contract/placement.ts'
import { type Refusal, refusal } from './contract/refusal.ts'

const dampFrom = 3
const dampWithinMs = 60_000
const dampedEveryMs = 5_000
// More than can be taken over while the relay of the oldest still tries: it gives up after a minute.
export const maxReplaced = 32

type Claimant = Pick<PublishRequest, 'connection' | 'attempt'>

/** What a lease knows of its connections. */
export interface ConnectionStanding {
  /** The one that was let in last. */
  connection: string | null
  attempt: number | null
  state: 'starting' | 'live' | 'held'
  replaced: readonly Replaced[]
  /** Placed since, and not let in. */
  waiting: readonly Claimant[]
}

export type Claim = { refused: Refusal } | { isTakeover: boolean }

/** Whether a connection may be placed to have the channel. */
export function claimOf(lease: ConnectionStanding, claimant: Claimant, nowMs: number): Claim {
  const { connection, attempt } = claimant
  const known = [{ connection: lease.connection, attempt: lease.attempt ?? 0 }, ...lease.waiting]
  const isOvertaken = known.some((it) => it.connection === connection && it.attempt > attempt)
  const isReplaced = lease.replaced.some((it) => it.connection === connection)
  if (isOvertaken || isReplaced) return { refused: refusal('already-publishing') }
  const isOther = lease.connection !== null && lease.connection !== connection
  const isTakeover = isOther && lease.state === 'live'
  if (isTakeover && isDamped(lease.replaced, nowMs)) {
    return { refused: refusal('takeover-too-often') }
  }
  return { isTakeover }
}

/** Whom a lease has replaced once it has let that connection in. */
export function replacedBy(
  { connection: former, replaced }: Pick<ConnectionStanding, 'connection' | 'replaced'>,
  { connection, isTakeover }: { connection: string; isTakeover: boolean },
  nowMs: number,
): readonly Replaced[] {
  if (former === null || former === connection) return replaced
  const takenAtMs = isTakeover ? nowMs : null
  return [...replaced, { connection: former, takenAtMs }].slice(-maxReplaced)
}

function isDamped(replaced: readonly Replaced[], nowMs: number): boolean {
  const agesMs = replaced.flatMap(({ takenAtMs }) => (takenAtMs === null ? [] : nowMs - takenAtMs))
  // A wall clock that was set back makes ages negative; such takeovers count as just now for a minute at most.
  const recent = agesMs.filter((ageMs) => Math.abs(ageMs) < dampWithinMs)
  return recent.length >= dampFrom && recent.some((ageMs) => Math.abs(ageMs) < dampedEveryMs)
}
