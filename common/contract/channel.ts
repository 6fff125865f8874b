// What everybody may know about a channel, and the shape of the names in it.
import { z } from 'zod'

/** The public name of a channel's live stream; stands in playback URLs, hashed by the ring. */
export const liveIdSchema = z.string().regex(/^[a-z0-9][a-z0-9_-]{0,62}$/)

/** Body of `/live/{liveId}/status.json`: what a page needs without a bearer. */
export const channelStatusSchema = z.object({
  liveId: liveIdSchema,
  title: z.string(),
  description: z.string(),
  topic: z.string().nullable(),
  /** `held`: the publisher is gone but may still come back to the same broadcast. */
  state: z.enum(['live', 'held', 'offline']),
  broadcastId: z.uuid().nullable(),
  startedAt: z.string().nullable(),
  /** Grows by one each time the publisher's media starts anew; a page reloads its player on a change. */
  takes: z.int().nonnegative(),
  viewers: z.int().nonnegative(),
  /** The newest replay, offered when the show has ended. */
  replayId: z.uuid().nullable(),
})
export type ChannelStatus = z.infer<typeof channelStatusSchema>
