// What a transcoder tells a stream's home, the gateway that relays it, about what it publishes.
//
// `GET /internal/v1/broadcasts/{liveId}/feed?epoch=E` answers with frames (common/live/feed-frames.ts) for as long as
// the broadcast lasts: `open`, the whole present window as one `change`, then each change as it happens. The bytes of
// parts and init sections come before the change that lists them, each as a `body`, so that a feed that breaks off has
// listed nothing by halves.
import { z } from 'zod'
import { initTrackSchema, liveSettingsSchema, mediaKindSchema } from './packaged-media.ts'

const name = z.string().min(1).max(64)
const number = z.int().nonnegative()
const ticks = z.int()
/** Index among the bodies since the change before. */
const body = z.int().nonnegative()

const factsSchema = z.object({
  broadcastId: z.string(),
  liveId: z.string(),
  broadcastTag: z.string(),
  startedAtMs: z.number(),
  isRecorded: z.boolean(),
  firstNumber: number,
  earlierTakes: number,
})

const renditionSchema = z.object({
  name,
  kind: mediaKindSchema,
  codec: z.string(),
  timescale: z.int().positive(),
  width: z.int(),
  height: z.int(),
  framesPerSecond: z.number(),
  sampleRate: z.int(),
  channels: z.int(),
  isSource: z.boolean(),
  nominalBitsPerSecond: z.number(),
  track: initTrackSchema,
})

/** As it is now; its init sections are told once, in `inits`. */
const takeSchema = z.object({
  name,
  number,
  epoch: number,
  firstNumber: number,
  startSeconds: z.number(),
  endSeconds: z.number().optional(),
  isRegular: z.boolean(),
  isComplete: z.boolean(),
  renditions: z.array(renditionSchema),
})

const partSchema = z.object({
  id: number,
  startTicks: ticks,
  durationTicks: ticks,
  isIndependent: z.boolean(),
  /** Absent: a gap, or not here. */
  body: body.optional(),
  /** Another packager listed it, with so many bytes. */
  elsewhereBytes: number.optional(),
})

/** As it is now, and the parts that have come since it was told of last. */
const segmentSchema = z.object({
  take: name,
  rendition: name,
  number,
  startTicks: ticks,
  durationTicks: ticks.nonnegative(),
  isOpen: z.boolean(),
  isGap: z.boolean(),
  keyframeBytes: number,
  parts: z.array(partSchema),
})

/** An entry of a playlist: a segment of some rendition, or a gap that is in no rendition of the take. */
const entrySchema = z.object({
  number,
  take: name,
  rendition: name,
  gap: z
    .object({ startTicks: ticks, durationTicks: ticks, timescale: z.int().positive() })
    .optional(),
})

const playlistSchema = z.object({
  name,
  kind: mediaKindSchema,
  /** New ones, by number. */
  entries: z.array(entrySchema),
  /** Where the window begins by now, once the transcoder has forgotten something. */
  first: number.optional(),
  /** Before the first entry; told the first time. */
  discontinuitySequence: number.optional(),
  /** Absent: as before. Null: nothing comes. */
  next: z.object({ partId: number, number, take: name, rendition: name }).nullable().optional(),
})

const openSchema = z.object({
  kind: z.literal('open'),
  epoch: z.int().positive(),
  instance: z.string(),
  facts: factsSchema,
})
const bodySchema = z.object({ kind: z.literal('body') })
const changeSchema = z.object({
  kind: z.literal('change'),
  settings: liveSettingsSchema.optional(),
  isEnded: z.literal(true).optional(),
  /** Highest bitrates seen, by rendition name, where one has risen. */
  peaks: z.record(z.string(), z.number()).optional(),
  /** All takes that are kept, where one of them is new, other than before, or gone. */
  takes: z.array(takeSchema).optional(),
  inits: z.array(z.object({ take: name, rendition: name, body })),
  segments: z.array(segmentSchema),
  playlists: z.array(playlistSchema),
  /** Numbers that may be waited for, of renditions where they are others than before. */
  coming: z.array(z.object({ take: name, rendition: name, numbers: z.array(number) })),
  /**
   * Where another transcoder would go on behind what is listed with this change, without the init sections. A change
   * that lists segments without one voids the one before. It comes with every part and is needed seldom: as a body of
   * its own, JSON, that nobody reads until then. From there on that publisher's media is needed, in its milliseconds.
   */
  point: z.object({ body, connection: z.string(), neededMs: z.number() }).optional(),
})
/** Sent each second, so that silence means that nobody is there. */
const pingSchema = z.object({ kind: z.literal('ping') })

export const feedHeadSchema = z.discriminatedUnion('kind', [
  openSchema,
  bodySchema,
  changeSchema,
  pingSchema,
])
export type FeedHead = z.infer<typeof feedHeadSchema>
export type FeedOpen = z.infer<typeof openSchema>
export type FeedChange = z.infer<typeof changeSchema>
export type FeedTake = z.infer<typeof takeSchema>
export type FeedSegment = z.infer<typeof segmentSchema>
export type FeedEntry = z.infer<typeof entrySchema>
export type FeedPlaylist = z.infer<typeof playlistSchema>

export const feedPingMs = 1_000
