// What the public API takes and answers, once as zod for checking, types and OpenAPI.
import { z } from '@hono/zod-openapi'
import { liveIdSchema } from '../../common/contract/channel.ts'
import {
  nodeIdSchema,
  nodeLoadSchema,
  nodeUrlsSchema,
  roleSchema,
} from '../../common/contract/membership.ts'
import {
  audioFactsSchema,
  findingSchema,
  renditionSchema,
  videoFactsSchema,
} from '../../common/contract/placement.ts'

const time = z.iso.datetime().openapi({ example: '2026-01-01T00:00:00.000Z' })

export const topicIdSchema = z.string().regex(/^[a-z0-9][a-z0-9-]{0,39}$/)

export const topicSchema = z
  .object({ id: topicIdSchema, name: z.string().min(1).max(80) })
  .openapi('Topic')

const name = z.string().trim().min(1).max(120)
const title = z.string().trim().max(200)
const settings = {
  name: name.openapi({ description: 'Name of the channel; its live id when absent' }),
  title: title.openapi({ description: 'Title of the show that runs or comes next' }),
  description: z.string().max(2048),
  topic: topicIdSchema.nullable(),
  record: z.boolean().openapi({ description: 'Keep a replay of each show; default on' }),
  replayTitle: title
    .nullable()
    .openapi({ description: 'Title of replays; null: that of the show' }),
  chatEnabled: z.boolean(),
  protected: z.boolean(),
  maxViewers: z.int().positive().nullable(),
}

export const channelSettingsSchema = z.strictObject(settings).partial().openapi('ChannelSettings')

export const newChannelSchema = z
  .strictObject({ liveId: liveIdSchema, ...settings })
  .partial()
  .openapi('NewChannel')

export const channelSchema = z
  .object({
    id: z.uuid(),
    liveId: liveIdSchema,
    owner: z.string().nullable(),
    ...settings,
    coverPath: z.string().nullable(),
    views: z.int(),
    createdAt: time,
    bannedAt: time
      .nullable()
      .openapi({ description: 'Nobody may publish since then; null: not banned' }),
    live: z.boolean(),
  })
  .openapi('Channel')

export const madeChannelSchema = channelSchema
  .extend({ streamKey: z.string().openapi({ description: 'Shown only now' }) })
  .openapi('MadeChannel')

export const newKeySchema = z
  .strictObject({
    label: z.string().trim().max(80).default(''),
    expiresAt: z.iso.datetime({ offset: true }).nullable().default(null),
  })
  .openapi('NewStreamKey')

export const streamKeySchema = z
  .object({
    id: z.uuid(),
    label: z.string(),
    createdAt: time,
    expiresAt: time.nullable(),
    revokedAt: time.nullable(),
    lastUsedAt: time.nullable(),
    sealed: z.boolean().openapi({ description: 'The key can be read again' }),
  })
  .openapi('StreamKey')

export const madeKeySchema = streamKeySchema
  .extend({ streamKey: z.string().openapi({ description: 'Shown only now' }) })
  .openapi('MadeStreamKey')

const nodeRef = z.object({ id: nodeIdSchema }).nullable()

export const streamSchema = z
  .object({
    liveId: liveIdSchema,
    broadcastId: z.uuid(),
    epoch: z.int(),
    state: z
      .enum(['live', 'held'])
      .openapi({ description: 'held: the publisher is gone but may come back' }),
    title: z.string(),
    topic: topicIdSchema.nullable(),
    startedAt: time,
    takes: z.int(),
    pop: nodeRef,
    gateway: nodeRef,
    transcoder: nodeRef,
    video: videoFactsSchema.nullable(),
    audio: audioFactsSchema.nullable(),
    renditions: z.array(renditionSchema),
    findings: z
      .array(findingSchema)
      .openapi({ description: 'What the encoder could do better, and its rate control' }),
    viewers: z.int(),
    peakViewers: z.int(),
    totalViewers: z.int(),
    urls: z
      .object({ hls: z.string(), dash: z.string(), status: z.string(), watch: z.string() })
      .nullable()
      .openapi({ description: 'Absolute, at one POP; null while no POP is known' }),
  })
  .openapi('Stream')
export type StreamView = z.infer<typeof streamSchema>

export const broadcastSchema = z
  .object({
    id: z.uuid(),
    liveId: liveIdSchema,
    title: z.string(),
    topic: topicIdSchema.nullable(),
    startedAt: time,
    endedAt: time.nullable(),
    endReason: z.string().nullable(),
    takes: z.int(),
    currentViewers: z.int(),
    peakViewers: z.int(),
    totalViewers: z.int(),
  })
  .openapi('Broadcast')

export const recordingSchema = z
  .object({
    id: z.uuid(),
    liveId: liveIdSchema,
    broadcastId: z.uuid(),
    title: z.string(),
    transcoder: nodeIdSchema,
    startedAt: time,
    durationMs: z.number(),
    sizeBytes: z.number(),
    renditions: z.array(renditionSchema),
    path: z.string().openapi({ description: 'Playlist of the replay, at any POP' }),
  })
  .openapi('Recording')

export const nodeSchema = z
  .object({
    id: nodeIdSchema,
    role: roleSchema,
    health: z.enum(['ok', 'late', 'draining', 'left', 'gone']).openapi({
      description: 'late: a heartbeat is missing; left: said goodbye; gone: fell silent',
    }),
    instance: z.uuid(),
    version: z.string(),
    pid: z.int(),
    region: z.string().nullable(),
    latitude: z.number().nullable(),
    longitude: z.number().nullable(),
    weight: z.number(),
    draining: z.boolean(),
    urls: nodeUrlsSchema,
    load: nodeLoadSchema,
    joinedAt: time,
    seenAt: time,
  })
  .openapi('Node')
export type NodeView = z.infer<typeof nodeSchema>

export const drainSchema = z
  .object({
    id: nodeIdSchema,
    role: roleSchema.nullable().openapi({ description: 'null while the node is not here' }),
    draining: z.boolean().openapi({ description: 'By the operator, or by its own word' }),
    since: time.nullable().openapi({ description: 'null: not drained by the operator' }),
    streams: z.int().openapi({ description: 'Streams on it when the drain began' }),
    left: z.int().openapi({ description: 'Streams on it now; at 0 it can be stopped' }),
    moving: z.string().nullable().openapi({ description: 'Live id whose turn it is to move' }),
    obstacle: z
      .enum(['no-transcoder', 'publishers-away', 'publishers-stay'])
      .nullable()
      .openapi({
        description:
          'no-transcoder: no other one can take streams; publishers-away: what is left is not live and ends, or moves ' +
          'when its publisher comes back; publishers-stay: edges and gateways keep their publishers until they leave',
      }),
  })
  .openapi('Drain')
export type DrainView = z.infer<typeof drainSchema>

export const ringSchema = z
  .object({
    vnodes: z.int().openapi({ description: 'Virtual nodes for a weight of 1' }),
    loadFactor: z.number(),
    nodes: z.array(
      z.object({
        id: nodeIdSchema,
        weight: z.number(),
        share: z.number().openapi({ description: 'Part of the hash space, 0 to 1' }),
        streams: z.int(),
        load: z.number().openapi({ description: 'Pixels per second of its streams' }),
        cap: z.number().openapi({ description: 'Load up to which it is given streams' }),
      }),
    ),
    streams: z.array(
      z.object({
        liveId: z.string(),
        epoch: z.int(),
        cost: z.number(),
        transcoder: nodeIdSchema.nullable().openapi({ description: 'Where the lease says' }),
        ring: nodeIdSchema.nullable().openapi({ description: 'What the ring would say now' }),
      }),
    ),
    where: z
      .array(z.object({ liveId: z.string(), order: z.array(nodeIdSchema) }))
      .openapi({ description: 'Nodes in ring order for each live id that was asked for' }),
  })
  .openapi('Ring')
export type RingView = z.infer<typeof ringSchema>

export const whatIfSchema = z
  .object({
    nodes: z.array(
      z.object({
        id: nodeIdSchema,
        weight: z.number(),
        shareBefore: z.number().openapi({ description: 'Part of the hash space now, 0 to 1' }),
        shareAfter: z.number(),
      }),
    ),
    liveIds: z.int().openapi({ description: 'Channels that were looked at: all of them' }),
    moves: z.array(
      z.object({
        liveId: z.string(),
        from: nodeIdSchema.nullable(),
        to: nodeIdSchema.nullable().openapi({ description: 'null: no transcoder would be left' }),
        transcoder: nodeIdSchema
          .nullable()
          .openapi({ description: 'Where its broadcast runs; null while it is not live' }),
        when: z.enum(['next-broadcast', 'node-goes']).openapi({
          description:
            'next-broadcast: what runs now stays where it is; node-goes: it runs on a node that would go',
        }),
      }),
    ),
  })
  .openapi('RingWhatIf')
export type WhatIfView = z.infer<typeof whatIfSchema>

export const purgeSchema = z
  .object({
    id: z.uuid(),
    prefix: z.string().openapi({ description: 'Every object whose path starts so was dropped' }),
    complete: z
      .boolean()
      .openapi({ description: 'Every cache of the cluster has said that it is done' }),
    milliseconds: z.int(),
    nodes: z.array(
      z.object({
        id: nodeIdSchema,
        role: z.enum(['gateway', 'edge']),
        outcome: z.enum(['purged', 'not-reached', 'away']).openapi({
          description:
            'not-reached: it did not answer in time; away: it is gone, and may still serve viewers. Either purges when it is back within ten minutes, or starts empty',
        }),
        objects: z.int().openapi({ description: 'Objects that it has dropped' }),
        lateWorkers: z.array(z.int()).optional().openapi({
          description:
            'Worker threads of a node that was reached which have not answered, from 1 on: what they have may still be served',
        }),
      }),
    ),
  })
  .openapi('Purge')
export type PurgeView = z.infer<typeof purgeSchema>

export const ingestsSchema = z
  .object({
    ingests: z.array(
      z.object({
        _id: z.int(),
        availability: z.number(),
        default: z.boolean(),
        name: z.string(),
        url_template: z.string(),
        url_template_secure: z.string(),
        priority: z.int(),
      }),
    ),
  })
  .openapi('Ingests')
