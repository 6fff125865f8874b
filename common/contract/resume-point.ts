// Where the making of a broadcast stands, exactly: what another transcoder needs, beside the publisher's media, to go
// on inside the open segments. It travels as JSON.
//
//   resume point ─► packaging ─► open takes ─► tracks: the parts that are listed of the open segment
//                └► input: codec configs and clocks, so that the same samples get the same times
import { z } from 'zod'
import { initTrackSchema, liveSettingsSchema, mediaKindSchema } from './packaged-media.ts'

const plannedRenditionSchema = z.object({
  name: z.string(),
  kind: mediaKindSchema,
  isSource: z.boolean(),
  nominalBitsPerSecond: z.number(),
})

const takePlanSchema = z.object({
  /** Public name: whoever goes on inside the take keeps it. */
  name: z.string(),
  number: z.int(),
  epoch: z.int(),
  renditions: z.array(plannedRenditionSchema),
  leader: z.string(),
  cutting: z.enum(['source-keyframes', 'own-keyframes', 'audio']),
  framesPerSecond: z.number().optional(),
  continues: z.boolean().optional(),
  /** Where our own keyframes lie: the encoders that go on keep it. */
  grid: z
    .object({
      firstTicks: z.number(),
      everyTicks: z.number().positive(),
      toleranceTicks: z.number(),
    })
    .optional(),
})

/** A part that is listed. Its bytes are where it was listed last. */
const listedPartSchema = z.object({
  id: z.int(),
  startTicks: z.int(),
  durationTicks: z.int(),
  isIndependent: z.boolean(),
  isGap: z.boolean(),
  sizeBytes: z.int(),
})

const trackStateSchema = z.object({
  /** Of the segment that is open or comes next. */
  number: z.int(),
  segment: z
    .object({
      startTicks: z.int(),
      keyframeBytes: z.int(),
      parts: z.array(listedPartSchema).min(1),
    })
    .optional(),
  /** Up to here all is listed. */
  endTicks: z.int(),
  /** Decode time of the first sample that is in no listed part, or the least that it can have. */
  nextDts: z.int().optional(),
  /** Of the last sample. */
  frameTicks: z.number(),
  isReordered: z.boolean(),
  needsKeyframe: z.boolean(),
  /** Nothing but gaps can follow. */
  isMediaDone: z.boolean(),
})

const openTrackSchema = z.object({
  rendition: z
    .object({
      /** Base64: media that needs another one does not belong behind what is listed. */
      init: z.base64(),
      track: initTrackSchema,
      framesPerSecond: z.number(),
    })
    .optional(),
  /** No more samples come. */
  isOver: z.boolean(),
  state: trackStateSchema.optional(),
})

const timelineSchema = z.object({
  firstNumber: z.int(),
  startSeconds: z.number(),
  isRegular: z.boolean(),
  /** From the oldest segment on that a rendition has yet to close; numbers step by one. */
  cuts: z
    .array(
      z.object({
        number: z.int(),
        startSeconds: z.number(),
        gapEndSeconds: z.number().optional(),
      }),
    )
    .min(1),
  /** Of the leader; what is not behind it has been judged. */
  last: z.object({ dts: z.int(), duration: z.int() }).optional(),
  /** All cuts up to here are known; absent where that is none or all. */
  horizonSeconds: z.number().optional(),
  frameTicks: z.number(),
  mediaEndSeconds: z.number().optional(),
  isFinal: z.boolean(),
})

const openTakeSchema = z.object({
  plan: takePlanSchema,
  fromSeconds: z.number(),
  /** Among the takes of the broadcast that have published. */
  ordinal: z.int(),
  isClosing: z.boolean(),
  endAtSeconds: z.number().optional(),
  /** Of the take that had to end, and goes on in this one with the same encoders: its media comes under that name. */
  successorOf: z.string().optional(),
  /** Of the take that it was planned to go on with. */
  continuationOf: z.string().optional(),
  /** Once it has begun. */
  timeline: timelineSchema.optional(),
  tracks: z.record(z.string(), openTrackSchema),
})

export const packagingPointSchema = z.object({
  nextNumber: z.int(),
  /** Takes that have published something. */
  takes: z.int().nonnegative(),
  endSeconds: z.number(),
  settings: liveSettingsSchema.optional(),
  /** Of the picture, measured when the settings were chosen. */
  framesPerSecond: z.number().optional(),
  /** Once a take has left its grid, none is trusted to keep one. */
  isIrregular: z.boolean().optional(),
  /** Of the next part, by rendition name. */
  partIds: z.record(z.string(), z.int()).optional(),
  /** Of all renditions that ever were: their playlists go on, in gaps where a take lacks them. */
  kinds: z.record(z.string(), mediaKindSchema).optional(),
  /** Highest bitrates seen, by rendition name. */
  peaks: z.record(z.string(), z.number()).optional(),
  /** Those of which something is still to come, in the order of their beginning. */
  openTakes: z.array(openTakeSchema).optional(),
})

/** How the publisher's milliseconds become ticks, from the message on that the input is entered with. */
export const clockStateSchema = z.object({
  /** Where the run's first sample lies on the timeline of the broadcast. */
  originSeconds: z.number(),
  /** Of the first keyframe, from decode time to presentation. */
  firstMs: z.number().optional(),
  /** Of the picture before. */
  lastDts: z.int().optional(),
  audio: z
    .object({
      nextTicks: z.number(),
      /** How far the publisher's clock is ahead of the count. */
      driftTicks: z.number(),
    })
    .optional(),
})

/** Where a reader stands before a message that a source can be entered with. */
export const inputEntrySchema = z.object({
  /** Of that message, as the publisher has it: a keyframe, or sound where there is no picture. */
  timestampMs: z.number(),
  /** Of the run's first sample. */
  baseMs: z.number(),
  /** Highest before it, and before the sounds that a relay sends again behind it. */
  lastMs: z.object({ video: z.number().optional(), audio: z.number().optional() }),
  /** So many of those come first that are none of the run's. */
  otherSounds: z.int().nonnegative().optional(),
})

export const resumePointSchema = z.object({
  /** Of the publisher whose media it is. */
  connection: z.string(),
  packaging: packagingPointSchema,
  clock: clockStateSchema,
  input: z.object({
    /** Codec configs as the publisher sent them, base64. */
    video: z.base64().optional(),
    audio: z.base64().optional(),
    entry: inputEntrySchema,
  }),
})

type MediaKind = z.infer<typeof mediaKindSchema>
export type ListedPart = z.infer<typeof listedPartSchema>
export type TrackState = z.infer<typeof trackStateSchema>
export type TimelineState = z.infer<typeof timelineSchema>
export type OpenTrack = z.infer<typeof openTrackSchema>
export type OpenTake = z.infer<typeof openTakeSchema>
export type PackagingPoint = z.infer<typeof packagingPointSchema>
export type ClockState = z.infer<typeof clockStateSchema>
export type InputEntry = z.infer<typeof inputEntrySchema>
export type ResumePoint = z.infer<typeof resumePointSchema>

/** First tick that each rendition of the take lacks, in its own timescale. */
export function missingTicks({ tracks }: OpenTake): Map<string, number> {
  const ticks = new Map<string, number>()
  for (const [name, { state, isOver }] of Object.entries(tracks)) {
    if (!state || isOver || state.isMediaDone) continue
    ticks.set(name, Math.max(state.endTicks, state.nextDts ?? state.endTicks))
  }
  return ticks
}

/** Sound may begin so much before the take that it belongs to. */
const leadSeconds = 0.1

/**
 * From here on the media is needed again: from the source's last keyframe that is shown no later. Of one kind, or of
 * both.
 */
export function neededSeconds(
  { openTakes = [] }: PackagingPoint,
  kind?: MediaKind,
): number | undefined {
  const needed = openTakes.flatMap(({ plan, tracks, timeline, fromSeconds }) =>
    Object.entries(tracks).flatMap(([name, { state, rendition, isOver }]) => {
      const isOther = plan.renditions.some((it) => it.name === name && it.kind !== kind)
      if (kind && isOther) return []
      if (isOver || state?.isMediaDone) return []
      if (!state || !rendition || state.nextDts === undefined) {
        return [(timeline?.startSeconds ?? fromSeconds) - leadSeconds]
      }
      return [Math.min(state.nextDts, state.endTicks) / rendition.track.timescale]
    }),
  )
  return needed.length === 0 ? undefined : Math.min(...needed)
}

/** Highest number that a take has. */
export function newestTake({ takes, openTakes = [] }: Pick<PackagingPoint, 'takes' | 'openTakes'>) {
  return Math.max(takes, ...openTakes.map(({ plan }) => plan.number))
}

/** For whoever has been told the init sections: without them. */
export function withoutInits(point: ResumePoint): ResumePoint {
  return withInits(point, () => '')
}

/** `initOf` answers base64. */
export function withInits(
  point: ResumePoint,
  initOf: (take: string, rendition: string) => string,
): ResumePoint {
  const openTakes = point.packaging.openTakes?.map((open) => {
    const tracks = Object.entries(open.tracks).map(([name, { rendition, ...it }]) => {
      const init = rendition && initOf(open.plan.name, name)
      return [name, { ...it, ...(rendition && { rendition: { ...rendition, init } }) }]
    })
    return { ...open, tracks: Object.fromEntries(tracks) as OpenTake['tracks'] }
  })
  return { ...point, packaging: { ...point.packaging, openTakes } }
}
