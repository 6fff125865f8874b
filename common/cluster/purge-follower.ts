// A node with a cache does what the pushed snapshot tells it to purge, and says when that is done.
import type { ClusterSnapshot } from '../contract/membership.ts'
import type { PurgeOrder, PurgeOutcome, PurgeReport } from '../contract/purge.ts'
import { messageOf } from '../errors.ts'
import type { Logger } from '../log.ts'

export interface PurgeFollowerOptions {
  role: keyof PurgeOrder['passes']
  /** Drops every cached object whose path starts so. `isAgain`: some were late, and there is time for them now. */
  purge: (prefix: string, isAgain: boolean) => Promise<PurgeOutcome> | PurgeOutcome
  /** False where the coordinator did not hear it. */
  report: (id: string, report: PurgeReport) => Promise<boolean>
  log: Logger
}

interface Carried {
  /** The last one that is done. */
  pass: number
  purged: number
  wanted: number
  /** The coordinator knows of the last pass. */
  isHeard: boolean
  isRunning: boolean
}

export class PurgeFollower {
  readonly #options: PurgeFollowerOptions
  readonly #carried = new Map<string, Carried>()

  constructor(options: PurgeFollowerOptions) {
    this.#options = options
  }

  /** For each snapshot: what was pushed twice is done once, what was not heard is told again. */
  update({ purges = [] }: ClusterSnapshot): void {
    const ids = new Set(purges.map(({ id }) => id))
    for (const id of this.#carried.keys()) if (!ids.has(id)) this.#carried.delete(id)
    for (const order of purges) void this.#carryOut(order)
  }

  async #carryOut({ id, prefix, passes }: PurgeOrder): Promise<void> {
    const { role, purge, report, log } = this.#options
    const carried = this.#carriedOf(id)
    carried.wanted = passes[role]
    if (carried.isRunning) return
    carried.isRunning = true
    let late: readonly number[] = []
    try {
      while (carried.pass < carried.wanted || !carried.isHeard) {
        if (carried.pass < carried.wanted) {
          const pass = carried.wanted
          const outcome = await purge(prefix, late.length > 0)
          late = outcome.late
          carried.purged += outcome.purged
          if (late.length === 0) carried.pass = pass
          const facts = { purge: id, prefix, purged: outcome.purged, pass }
          if (late.length === 0) log.info(facts, 'purged')
          else log.warn({ ...facts, late }, 'workers have not purged yet')
        }
        const { pass, purged } = carried
        const isHeard = await report(id, {
          pass,
          purged,
          ...(late.length > 0 && { late: [...late] }),
        })
        carried.isHeard = isHeard
        // While some are late the word that counts is still to come.
        if (!isHeard && late.length === 0) break
      }
    } catch (err) {
      log.error({ purge: id, prefix, error: messageOf(err) }, 'a purge failed')
    } finally {
      carried.isRunning = false
    }
  }

  #carriedOf(id: string): Carried {
    const known = this.#carried.get(id)
    if (known) return known
    const carried = { pass: 0, purged: 0, wanted: 0, isHeard: true, isRunning: false }
    this.#carried.set(id, carried)
    return carried
  }
}
