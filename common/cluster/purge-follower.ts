// A node with a cache does what the pushed snapshot tells it to purge, and says when that is done.
import type { ClusterSnapshot } from '../contract/membership.ts'
import type { PurgeOrder, PurgeReport } from '../contract/purge.ts'
import { messageOf } from '../errors.ts'
import type { Logger } from '../log.ts'

export interface PurgeFollowerOptions {
  role: keyof PurgeOrder['passes']
  /** Drops every cached object whose path starts so; answers how many. */
  purge: (prefix: string) => Promise<number> | number
  /** False where the coordinator did not hear it. */
  report: (id: string, report: PurgeReport) => Promise<boolean>
  log: Logger
}

interface Carried extends PurgeReport {
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
    try {
      while (carried.pass < carried.wanted || !carried.isHeard) {
        if (carried.pass < carried.wanted) {
          const pass = carried.wanted
          const purged = await purge(prefix)
          carried.purged += purged
          carried.pass = pass
          log.info({ purge: id, prefix, purged, pass }, 'purged')
        }
        carried.isHeard = await report(id, { pass: carried.pass, purged: carried.purged })
        if (!carried.isHeard) break
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
