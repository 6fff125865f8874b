// What nodes tell the coordinator about publishers that were refused, so that their channels can show it.
import { z } from 'zod'
import { keyDigestSchema, refusalCodeSchema } from './placement.ts'

export const maxRefusalsPerReport = 200
export const maxRefusalMessage = 300

/** Body of `POST /internal/v1/refusals`: one entry for each key and reason since the last report. */
export const refusalReportSchema = z.object({
  refusals: z
    .array(
      z.object({
        keyDigest: keyDigestSchema,
        code: refusalCodeSchema,
        /** The sentence of the last one. */
        message: z.string().max(maxRefusalMessage),
        count: z.int().positive(),
        /** How long ago the last one was. */
        ageMs: z.int().nonnegative(),
      }),
    )
    .max(maxRefusalsPerReport),
})
export type RefusalReport = z.infer<typeof refusalReportSchema>
