// What nodes tell the coordinator about themselves, and what it pushes back to all of them.
import { z } from 'zod'
import { purgeOrderSchema } from './purge.ts'

export const roleSchema = z.enum(['edge', 'gateway', 'transcoder', 'coordinator'])
export type Role = z.infer<typeof roleSchema>

/** Ids of nodes: printable in a URL, a label and a header. */
export const nodeIdSchema = z.string().regex(/^[a-z0-9][a-z0-9_.-]{0,62}$/)

export const nodeLoadSchema = z.object({
  /** Share of the machine's cores in use, 0 to 1. */
  cpu: z.number().min(0),
  memoryBytes: z.number().nonnegative(),
  /** Streams published through (edge, gateway) or transcoded on (transcoder) this node. */
  streams: z.int().nonnegative(),
  /** Transcoder: sum of width × height × frames per second over its streams. */
  cost: z.number().nonnegative(),
  viewers: z.int().nonnegative(),
  bitsInPerSecond: z.number().nonnegative(),
  bitsOutPerSecond: z.number().nonnegative(),
})
export type NodeLoad = z.infer<typeof nodeLoadSchema>

/** Base URLs, without a trailing slash; an RTMP URL includes its application (`/live`). */
export const nodeUrlsSchema = z.object({
  https: z.string().optional(),
  http: z.string().optional(),
  rtmps: z.string().optional(),
  rtmp: z.string().optional(),
  admin: z.string().optional(),
})
export type NodeUrls = z.infer<typeof nodeUrlsSchema>

/** Viewers of one live id at one edge: distinct address and agent that asked for a playlist in 15 s. */
export const viewerCountSchema = z.object({
  liveId: z.string(),
  current: z.int().nonnegative(),
  /** Viewers that arrived since this process started. */
  total: z.int().nonnegative(),
})
export type ViewerCount = z.infer<typeof viewerCountSchema>

/** Body of `PUT /internal/v1/nodes/{id}`, sent every 2 s; a node is gone after 3 missed ones. */
export const heartbeatSchema = z.object({
  role: roleSchema,
  /** Changes with every start of the process. */
  instance: z.uuid(),
  version: z.string(),
  pid: z.int(),
  region: z.string().nullable(),
  latitude: z.number().min(-90).max(90).nullable(),
  longitude: z.number().min(-180).max(180).nullable(),
  /** Share of new streams relative to the other nodes of the role; 0 takes none. */
  weight: z.number().nonnegative(),
  draining: z.boolean(),
  urls: nodeUrlsSchema,
  load: nodeLoadSchema,
  viewers: z.array(viewerCountSchema),
})
export type Heartbeat = z.infer<typeof heartbeatSchema>

export const heartbeatAnswerSchema = z.object({
  generation: z.int(),
  /** Coordinator's wall clock, ms, so that a node can warn about its own. */
  now: z.number(),
  /** Transcoder: recordings whose files it is to delete, and then `DELETE /internal/v1/recordings/{id}`. */
  recordingsToDelete: z.array(z.uuid()).default([]),
  /** Gateway: the version of `GET /internal/v1/known-keys`. */
  knownKeys: z.string().optional(),
})
export type HeartbeatAnswer = z.infer<typeof heartbeatAnswerSchema>

export const nodeInfoSchema = heartbeatSchema.omit({ viewers: true }).extend({ id: nodeIdSchema })
export type NodeInfo = z.infer<typeof nodeInfoSchema>

/** Where a live id is served from now. */
export const routeSchema = z.object({
  liveId: z.string(),
  broadcastId: z.uuid(),
  /** Opens the public names of its takes. */
  broadcastTag: z.string(),
  /** Wall ms. */
  startedAt: z.number(),
  /** Takes that its transcoders have told of. */
  takes: z.int().nonnegative(),
  epoch: z.int().positive(),
  /** Start of the transcoder's process that has the lease. */
  instance: z.uuid(),
  /** The publisher's connection that has the channel; null for a lease of a version that did not name it. */
  connection: z.string().nullable(),
  /** Gateway that relays the stream, its home; null until it has told. */
  home: nodeIdSchema.nullable(),
  transcoder: z.object({ id: nodeIdSchema, url: z.string() }),
  /** Set while the transcoder drains and it is this stream's turn: its gateway is to publish it anew, at a keyframe. */
  isMoving: z.boolean().optional(),
})
export type Route = z.infer<typeof routeSchema>

/** Pushed whole on every change as the server-sent event `snapshot`: constant work, no deltas. */
export const clusterSnapshotSchema = z.object({
  generation: z.int(),
  nodes: z.array(nodeInfoSchema),
  routes: z.array(routeSchema),
  /** The latest ones. */
  purges: z.array(purgeOrderSchema).optional(),
})
export type ClusterSnapshot = z.infer<typeof clusterSnapshotSchema>
