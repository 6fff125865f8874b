// What goes on while the coordinator is away: gateways know keys, and one transcoder per live id lets publishes in.
// What it has let in is an `Adoption` for the coordinator that is back.
import { z } from 'zod'
import { keyDigestSchema, publishRequestSchema } from './placement.ts'

/** A key that was good when the coordinator was last heard. */
export const knownKeySchema = z.object({
  digest: keyDigestSchema,
  liveId: z.string(),
  /** The newest of the live id, 0 where it never was live. */
  epoch: z.int().nonnegative(),
  record: z.boolean(),
  /** Wall ms; null for never. */
  expiresAt: z.number().nullable(),
})
export type KnownKey = z.infer<typeof knownKeySchema>

/** Answer of `GET /internal/v1/known-keys`, for gateways: the keys that were used last, never a key itself. */
export const knownKeysSchema = z.object({
  /** Another one where anything in it may differ. */
  version: z.string(),
  keys: z.array(knownKeySchema),
})
export type KnownKeyList = z.infer<typeof knownKeysSchema>

/** Path at a transcoder; its 200 answer is a `PublishGrant`, its 403 and 503 are refusals. */
export const standInPath = '/internal/v1/publishes'

/** What a gateway asks there, by its node token. It has found the key among the known ones. */
export const standInRequestSchema = publishRequestSchema.omit({ away: true }).extend({
  liveId: z.string(),
  /** The newest that the gateway knows of, and who has it, where it knows that. */
  epoch: z.int().nonnegative(),
  instance: z.uuid().optional(),
  record: z.boolean(),
})
export type StandInRequest = z.infer<typeof standInRequestSchema>
