// What runs where: streams, broadcasts, recordings and nodes.
import { createRoute, type OpenAPIHono, z } from '@hono/zod-openapi'
import { liveIdSchema } from '../../common/contract/channel.ts'
import type { BroadcastStore } from '../broadcast-store.ts'
import type { ClusterView } from '../cluster-view.ts'
import { Problem } from '../problem.ts'
import type { PublishService } from '../publish-service.ts'
import type { PurgeService } from '../purge-service.ts'
import { prefixOfRecording } from '../purge-target.ts'
import type { RecordingStore } from '../recording-store.ts'
import {
  json,
  limitOf,
  liveIdParams,
  problems,
  secured,
  timeText,
  uuidParams,
} from './route-parts.ts'
import {
  broadcastSchema,
  nodeSchema,
  recordingSchema,
  streamSchema,
  topicIdSchema,
} from './schemas.ts'

export interface ClusterRouteParts {
  view: ClusterView
  publishes: PublishService
  broadcasts: BroadcastStore
  recordings: RecordingStore
  purges: PurgeService
  onChange: () => void
}

const listStreams = createRoute({
  method: 'get',
  path: '/streams',
  tags: ['Streams'],
  security: secured,
  summary: 'What is live now, or held for its publisher to come back',
  request: { query: z.object({ topic: topicIdSchema.optional() }) },
  responses: { 200: json(z.object({ streams: z.array(streamSchema) })), ...problems },
})

const readStream = createRoute({
  method: 'get',
  path: '/streams/{liveId}',
  tags: ['Streams'],
  security: secured,
  summary: 'One live stream and the path it takes',
  request: { params: liveIdParams },
  responses: { 200: json(streamSchema), ...problems },
})

const stopStream = createRoute({
  method: 'delete',
  path: '/streams/{liveId}',
  tags: ['Streams'],
  security: secured,
  summary: 'End the broadcast; the publisher is disconnected within 2 s',
  description:
    'An encoder that connects again begins a new one: revoke its key, or ban the channel, to keep it out.',
  request: { params: liveIdParams },
  responses: { 202: { description: 'The transcoder is told' }, ...problems },
})

const listBroadcasts = createRoute({
  method: 'get',
  path: '/broadcasts',
  tags: ['Broadcasts'],
  security: secured,
  summary: 'Shows that run or ran, newest first',
  request: {
    query: z.object({
      liveId: liveIdSchema.optional(),
      before: z.iso.datetime({ offset: true }).optional(),
      limit: limitOf(50, 500),
    }),
  },
  responses: { 200: json(z.object({ broadcasts: z.array(broadcastSchema) })), ...problems },
})

const listRecordings = createRoute({
  method: 'get',
  path: '/recordings',
  tags: ['Recordings'],
  security: secured,
  summary: 'Replays, newest first',
  request: { query: z.object({ liveId: liveIdSchema.optional(), limit: limitOf(50, 500) }) },
  responses: { 200: json(z.object({ recordings: z.array(recordingSchema) })), ...problems },
})

const deleteRecording = createRoute({
  method: 'delete',
  path: '/recordings/{id}',
  tags: ['Recordings'],
  security: secured,
  summary: 'Delete a replay: at once for viewers, on the disk when its transcoder hears of it',
  request: { params: uuidParams },
  responses: { 204: { description: 'Deleted' }, ...problems },
})

const listNodes = createRoute({
  method: 'get',
  path: '/nodes',
  tags: ['Cluster'],
  security: secured,
  summary: 'Nodes with role, health and load, also those that went in the last minutes',
  responses: { 200: json(z.object({ nodes: z.array(nodeSchema) })), ...problems },
})

export function addClusterRoutes(api: OpenAPIHono, parts: ClusterRouteParts): void {
  const { view, publishes, broadcasts, recordings, purges, onChange } = parts

  api.openapi(listStreams, async (c) =>
    c.json({ streams: await view.streams(c.req.valid('query')) }, 200),
  )

  api.openapi(readStream, async (c) => {
    const { liveId } = c.req.valid('param')
    const stream = await view.stream(liveId)
    if (!stream) throw notLive(liveId)
    return c.json(stream, 200)
  })

  api.openapi(stopStream, async (c) => {
    const { liveId } = c.req.valid('param')
    if (!(await publishes.stop(liveId))) throw notLive(liveId)
    return c.body(null, 202)
  })

  api.openapi(listBroadcasts, async (c) => {
    const { before, ...query } = c.req.valid('query')
    const found = await broadcasts.list({
      ...query,
      before: before === undefined ? undefined : Date.parse(before),
    })
    const shown = found.map((broadcast) => ({
      ...broadcast,
      startedAt: timeText(broadcast.startedAt),
      endedAt: timeText(broadcast.endedAt),
    }))
    return c.json({ broadcasts: shown }, 200)
  })

  api.openapi(listRecordings, async (c) => {
    const found = await recordings.list(c.req.valid('query'))
    const shown = found.map((recording) => ({
      ...recording,
      startedAt: timeText(recording.startedAt),
      path: `/replay/${recording.id}/index.m3u8`,
    }))
    return c.json({ recordings: shown }, 200)
  })

  api.openapi(deleteRecording, async (c) => {
    const { id } = c.req.valid('param')
    if (!(await recordings.markDeleted(id))) {
      throw new Problem(404, 'recording-unknown', 'There is no such recording.')
    }
    onChange()
    // What caches have of it would play on.
    void purges.purge(prefixOfRecording(id))
    return c.body(null, 204)
  })

  api.openapi(listNodes, (c) => c.json({ nodes: view.nodes() }, 200))
}

function notLive(liveId: string): Problem {
  return new Problem(404, 'not-live', `"${liveId}" is not live.`)
}
