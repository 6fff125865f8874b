// Why publishers of each channel were refused of late, as edges and gateways tell: in memory, bounded, for a day.
import { BoundedTable } from '../common/bounded-table.ts'
import type { Clock } from '../common/clock.ts'
import type { RefusalCode } from '../common/contract/refusal.ts'
import type { RefusalReport } from '../common/contract/refusal-report.ts'
import type { Database } from './database/database.ts'

/** All refusals of a channel with the same code. */
export interface ChannelRefusal {
  code: RefusalCode
  /** The sentence of the last one. */
  message: string
  count: number
  /** Wall ms. */
  firstAt: number
  lastAt: number
  /** That gave the last one. */
  node: string
}

const maxChannels = 1_000
const keptMs = 24 * 60 * 60_000

export class ChannelRefusals {
  readonly #database: Database
  readonly #clock: Clock
  /** By channel, then by code: there are as many as there are codes at most. */
  readonly #channels = new BoundedTable<ReadonlyMap<RefusalCode, ChannelRefusal>>(maxChannels)

  constructor(database: Database, clock: Clock) {
    this.#database = database
    this.#clock = clock
  }

  /** Keys that no channel has are passed over. */
  async note(node: string, { refusals }: RefusalReport): Promise<void> {
    const channelOf = await this.#channelsOf(refusals.map(({ keyDigest }) => keyDigest))
    const now = this.#clock.now()
    for (const { keyDigest, code, message, count, ageMs } of refusals) {
      const channelId = channelOf.get(keyDigest)
      if (channelId === undefined) continue
      const lastAt = now - ageMs
      const all = this.#channels.get(channelId)
      const former = all?.get(code)
      const first = former && former.lastAt > now - keptMs ? former : { count: 0, firstAt: lastAt }
      const refused = { code, message, count: first.count + count, firstAt: first.firstAt }
      this.#channels.set(channelId, new Map(all).set(code, { ...refused, lastAt, node }))
    }
  }

  /** The latest first. */
  list(channelId: string): ChannelRefusal[] {
    const oldest = this.#clock.now() - keptMs
    return [...(this.#channels.get(channelId)?.values() ?? [])]
      .filter(({ lastAt }) => lastAt > oldest)
      .sort((a, b) => b.lastAt - a.lastAt)
  }

  async #channelsOf(digests: readonly string[]): Promise<Map<string, string>> {
    const rows = await this.#database.db
      .selectFrom('stream_keys')
      .select(['digest', 'channel_id'])
      .where('digest', 'in', [...new Set(digests)])
      .execute()
    return new Map(rows.map((row) => [row.digest, row.channel_id]))
  }
}
