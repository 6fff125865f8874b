// What feeds and resume points both say of packaged media.
import { z } from 'zod'

export const mediaKindSchema = z.enum(['video', 'audio'])

/** `LiveSettings` of common/live/live-broadcast.ts. */
export const liveSettingsSchema = z.object({
  targetDurationSeconds: z.number().positive(),
  partTargetSeconds: z.number().positive(),
  segmentSeconds: z.number().positive(),
  windowSegments: z.int().positive(),
})

/** The track of an init section, as media/mp4 reads it. */
export const initTrackSchema = z.object({
  kind: mediaKindSchema,
  trackId: z.int(),
  timescale: z.int().positive(),
  codec: z.string(),
  width: z.int(),
  height: z.int(),
  sampleRate: z.int(),
  channels: z.int(),
  defaults: z.object({ durationTicks: z.int(), sizeBytes: z.int(), flags: z.int() }),
})
