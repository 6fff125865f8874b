// How far a publisher's media has got at the next hop: what lets a relay forget, and tells it when to go elsewhere.
import { z } from 'zod'

/** One line of `GET /internal/v1/progress` (JSON lines, one each 500 ms per connection that is live). */
export const progressLineSchema = z.object({
  /** The publisher's connection, as its owner named it. */
  connection: z.string(),
  epoch: z.int().positive(),
  liveId: z.string(),
  /** Timestamp of the newest message that the packager has taken; the publisher's own, in ms, modulo 2^32. */
  takenMs: z.int().nonnegative(),
  /** Timestamp of the keyframe from which a next transcoder would have to be fed; nothing older is needed any more. */
  neededMs: z.int().nonnegative(),
})
export type ProgressLine = z.infer<typeof progressLineSchema>
export type Progress = Omit<ProgressLine, 'connection'>

/** Whoever hears of progress at one next hop. */
export interface ProgressSource {
  watch(connection: string, listener: (progress: Progress) => void): Disposable
}
