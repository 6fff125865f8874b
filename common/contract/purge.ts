// What caches are told to forget: pushed with the cluster snapshot, answered by every node that has a cache.
import { z } from 'zod'

/** In the snapshot for some minutes, so that a node that was cut off hears of it when it is back. */
export const purgeOrderSchema = z.object({
  id: z.uuid(),
  /** Every object whose path starts so. */
  prefix: z.string().startsWith('/'),
  /**
   * How often nodes of the role are to have purged by now. Gateways come before edges, which would fetch the old
   * object from them again; twice where there are several, since gateways fetch from each other.
   */
  passes: z.object({ gateway: z.int().nonnegative(), edge: z.int().nonnegative() }),
})
export type PurgeOrder = z.infer<typeof purgeOrderSchema>

/** Body of `POST /internal/v1/purges/{id}/done`. */
export const purgeReportSchema = z.object({
  /** The last one that is done; 0 before the first is. */
  pass: z.int().nonnegative(),
  /** Objects forgotten in all passes so far. */
  purged: z.int().nonnegative(),
  /** Worker threads that have not answered in the pass after it. */
  late: z.array(z.int().positive()).max(4_096).optional(),
})
export type PurgeReport = z.infer<typeof purgeReportSchema>

/** What one node has done of a purge. */
export interface PurgeOutcome {
  /** Objects that it has forgotten. */
  purged: number
  /** Worker threads, from 1 on, that have not answered in time: what they have may still be served. */
  late: readonly number[]
}
