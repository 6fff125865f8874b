// A publish with `?bandwidthtest=true`: the gateway asks whether it may, POP and gateway tell what came through.
import { z } from 'zod'
import { publishRequestSchema } from './placement.ts'

/** Body of `POST /internal/v1/bandwidth-tests`. The connection names the test. */
export const bandwidthTestRequestSchema = publishRequestSchema.pick({
  keyDigest: true,
  gateway: true,
  pop: true,
  clientAddress: true,
  connection: true,
})
export type BandwidthTestRequest = z.infer<typeof bandwidthTestRequestSchema>

/** 200 answer; a refusal is as that of a publish. */
export const bandwidthTestGrantSchema = z.object({ liveId: z.string() })

/** Longest test; who is still there hears the result and is let go. */
export const bandwidthTestMs = 60_000

/** What arrived at one node of the way. */
export const bandwidthMeasureSchema = z.object({
  /** From the first byte to the last. */
  durationMs: z.number().nonnegative(),
  bytes: z.int().nonnegative(),
  /** Over whole seconds from the first byte on; null where there was none. */
  medianBitsPerSecond: z.number().nonnegative().nullable(),
  lowestBitsPerSecond: z.number().nonnegative().nullable(),
  /** Half a second or more without a byte. */
  stalls: z.int().nonnegative(),
  longestStallMs: z.number().nonnegative(),
})
export type BandwidthMeasure = z.infer<typeof bandwidthMeasureSchema>

/** Body of `PUT /internal/v1/bandwidth-tests/{id}`, by the POP and by the gateway, when the test is over. */
export const bandwidthReportSchema = z.object({
  /** `left`: the publisher or its connection went; `path-lost`: the gateway did. */
  end: z.enum(['left', 'time-limit', 'path-lost']),
  measure: bandwidthMeasureSchema,
})
export type BandwidthReport = z.infer<typeof bandwidthReportSchema>
