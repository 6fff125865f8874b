// How a publish becomes a lease: the gateway asks, the coordinator answers, the transcoder renews.
import { z } from 'zod'
import { nodeIdSchema } from './membership.ts'
import { refusals } from './refusal.ts'

const refusalCodes = Object.keys(refusals) as [keyof typeof refusals, ...(keyof typeof refusals)[]]
export const refusalCodeSchema = z.enum(refusalCodes)

/** Lower-case hex SHA-256 of the stream key. The key itself never goes to the coordinator. */
export const keyDigestSchema = z.string().regex(/^[0-9a-f]{64}$/)

export const connectionSchema = z.string().regex(/^[A-Za-z0-9_-]{16,64}$/)

/** Short, random, unique per broadcast: opens the public names of its takes. */
export const broadcastTagSchema = z.string().regex(/^[a-z0-9]{8,16}$/)

/** Who has a lease: an epoch alone may be given twice by a database that was rolled back. */
export const holderSchema = z.object({ epoch: z.int().positive(), instance: z.uuid() })
export type Holder = z.infer<typeof holderSchema>

/** Body of `POST /internal/v1/publishes`. */
export const publishRequestSchema = z.object({
  keyDigest: keyDigestSchema,
  gateway: nodeIdSchema,
  /** Edge that the publisher came in by; null for a direct publish. */
  pop: nodeIdSchema.nullable(),
  clientAddress: z.string(),
  /** Names the publisher's own connection, made by the relay that owns it; the same however often it is published on. */
  connection: connectionSchema,
  /** How often that relay has gone upstream with this connection: a later try overtakes an earlier one. */
  attempt: z.int().positive(),
  /** Names this one way to a transcoder, made by whoever asks. */
  nonce: connectionSchema,
  /** The holder that just failed this publisher: another transcoder is chosen, if there is one. */
  away: holderSchema.optional(),
})
export type PublishRequest = z.infer<typeof publishRequestSchema>

/** A connection that another one has replaced. */
export const replacedSchema = z.object({
  connection: z.string(),
  /** Wall ms of the takeover; null when its publisher had left, so that nothing was taken from anybody. */
  takenAtMs: z.number().nullable(),
})
export type Replaced = z.infer<typeof replacedSchema>

/** A publish that a transcoder has let in while the coordinator was away, for that one to take over. */
export const adoptionSchema = publishRequestSchema.omit({ away: true }).extend({
  broadcastId: z.uuid(),
  broadcastTag: broadcastTagSchema,
  broadcastStartedAt: z.number(),
  /** Those that had the channel before it, oldest first. */
  replaced: z.array(replacedSchema),
  /** The broadcast has ended since; its release follows. */
  isOver: z.boolean().optional(),
})
export type Adoption = z.infer<typeof adoptionSchema>

/** 200 answer. `ticket` is a signed `PublishTicket` that opens the transcoder. */
export const publishGrantSchema = z.object({
  liveId: z.string(),
  broadcastId: z.uuid(),
  epoch: z.int().positive(),
  instance: z.uuid(),
  transcoder: z.object({ id: nodeIdSchema, rtmp: z.string(), url: z.string() }),
  ticket: z.string(),
})
export type PublishGrant = z.infer<typeof publishGrantSchema>

/** Answer with status 403 (not allowed), 409 or 503 (try again). */
export const publishRefusalSchema = z.object({ code: refusalCodeSchema, message: z.string() })

/** Claims of the ticket (a JWS under the cluster secret, valid 30 s) that the gateway shows the transcoder. */
export const publishTicketSchema = z.object({
  liveId: z.string(),
  broadcastId: z.uuid(),
  broadcastTag: broadcastTagSchema,
  broadcastStartedAt: z.number(),
  epoch: z.int().positive(),
  nonce: z.string(),
  connection: z.string(),
  /** Transcoder and the start of its process that hold the lease. */
  transcoder: nodeIdSchema,
  instance: z.uuid(),
  record: z.boolean(),
  /** Takes of this broadcast so far; the next take gets this number plus one. */
  takes: z.int().nonnegative(),
})
export type PublishTicket = z.infer<typeof publishTicketSchema>

export const videoFactsSchema = z.object({
  codec: z.string(),
  width: z.int(),
  height: z.int(),
  framesPerSecond: z.number().nullable(),
  bitsPerSecond: z.number(),
  keyframeIntervalSeconds: z.number().nullable(),
})
export const audioFactsSchema = z.object({
  codec: z.string(),
  sampleRate: z.int(),
  channels: z.int(),
  bitsPerSecond: z.number(),
})
export const renditionSchema = z.object({
  name: z.string(),
  width: z.int(),
  height: z.int(),
  framesPerSecond: z.number(),
  bitsPerSecond: z.number(),
  codecs: z.string(),
  isSource: z.boolean(),
})
export type VideoFacts = z.infer<typeof videoFactsSchema>
export type AudioFacts = z.infer<typeof audioFactsSchema>
export type Rendition = z.infer<typeof renditionSchema>

/**
 * What the encoder of a stream could do better. `value`: `keyframes-far` in seconds, `b-frames` in ms,
 * `bitrate-jitter` as peak over mean, `av-drift` in ms a minute, `clock-gap` as their number in a minute.
 */
export const findingSchema = z.object({
  code: z.enum([
    'keyframes-far',
    'b-frames',
    'bitrate-jitter',
    'av-drift',
    'clock-gap',
    'rate-control',
  ]),
  value: z.union([z.number(), z.enum(['CBR', 'VBR', 'ABR', 'CRF'])]),
  isWarning: z.boolean(),
  sentence: z.string(),
})
export type Finding = z.infer<typeof findingSchema>

/** Body of `POST /internal/v1/leases/{liveId}/renew`, every 2 s; the lease lives 6 s. */
export const leaseRenewalSchema = z.object({
  epoch: z.int().positive(),
  instance: z.uuid(),
  /** One epoch may have begun another at this instance, by a publish whose answer came too late. */
  broadcastId: z.uuid().optional(),
  nonce: z.string().nullable(),
  /** `live` while media arrives, `held` while waiting for the publisher to come back. */
  state: z.enum(['live', 'held']),
  takes: z.int().nonnegative(),
  cost: z.number().nonnegative(),
  video: videoFactsSchema.nullable(),
  audio: audioFactsSchema.nullable(),
  renditions: z.array(renditionSchema),
  findings: z.array(findingSchema).optional(),
  adopt: adoptionSchema.optional(),
})
export type LeaseRenewal = z.infer<typeof leaseRenewalSchema>

/** `lost` is an answer (status 409), never an error: a node that gets an error keeps the stream. */
export const leaseAnswerSchema = z.object({
  outcome: z.enum(['held', 'lost']),
  epoch: z.int().nonnegative(),
  /** Set when the operator asked to end the broadcast. */
  stop: z.boolean().default(false),
  /** Why the publisher in `adopt` is not to have the channel, be it let in already or not; others may. */
  refused: publishRefusalSchema.optional(),
})
export type LeaseAnswer = z.infer<typeof leaseAnswerSchema>

/** Body of `POST /internal/v1/leases/{liveId}/release`: the broadcast ends. */
export const leaseReleaseSchema = z.object({
  epoch: z.int().positive(),
  instance: z.uuid(),
  reason: z.enum([
    'publisher-left',
    'refused',
    'transcoder-stopping',
    'transcoder-failed',
    'stopped',
  ]),
})
export type LeaseRelease = z.infer<typeof leaseReleaseSchema>

/** The transcoder gives the stream up, but the show goes on: whoever publishes next is placed anew. */
export function goesOnElsewhere(
  reason: LeaseRelease['reason'],
): reason is 'transcoder-stopping' | 'transcoder-failed' {
  return reason === 'transcoder-stopping' || reason === 'transcoder-failed'
}

/** Body of `PUT /internal/v1/recordings/{id}`: one replay per broadcast, of the takes that this transcoder has. */
export const recordingReportSchema = z.object({
  liveId: z.string(),
  broadcastId: z.uuid(),
  transcoder: nodeIdSchema,
  startedAt: z.number(),
  durationMs: z.number().nonnegative(),
  sizeBytes: z.number().nonnegative(),
  renditions: z.array(renditionSchema),
})
export type RecordingReport = z.infer<typeof recordingReportSchema>

/** Answer of `GET /internal/v1/recordings/{id}`: where a gateway finds a replay. */
export const recordingLocationSchema = z.object({
  id: z.uuid(),
  transcoder: z.object({ id: nodeIdSchema, url: z.string().nullable() }),
})
export type RecordingLocation = z.infer<typeof recordingLocationSchema>
