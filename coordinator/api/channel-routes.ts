// `/api/v1/channels` and `/api/v1/topics`.
import { createRoute, type OpenAPIHono, z } from '@hono/zod-openapi'
import type { Channel, ChannelSettings, ChannelStore } from '../channel-store.ts'
import { Problem } from '../problem.ts'
import type { PublishService } from '../publish-service.ts'
import type { StreamKeyStore } from '../stream-key-store.ts'
import {
  body,
  channelUnknown,
  json,
  limitOf,
  liveIdParams,
  problems,
  secured,
  timeText,
} from './route-parts.ts'
import {
  channelSchema,
  channelSettingsSchema,
  madeChannelSchema,
  newChannelSchema,
  topicIdSchema,
  topicSchema,
} from './schemas.ts'

export interface ChannelRouteParts {
  channels: ChannelStore
  keys: StreamKeyStore
  publishes: PublishService
  onChange: () => void
}

const maxChannels = 1_000
const tags = ['Channels']
const topicTags = ['Topics']

const create = createRoute({
  method: 'post',
  path: '/channels',
  tags,
  security: secured,
  summary: 'Make a channel; its stream key is answered once',
  request: { body: body(newChannelSchema) },
  responses: { 201: json(madeChannelSchema, 'Made'), ...problems },
})

const list = createRoute({
  method: 'get',
  path: '/channels',
  tags,
  security: secured,
  summary: 'List channels in the order of their live ids',
  request: {
    query: z.object({
      topic: topicIdSchema.optional(),
      after: z.string().optional(),
      limit: limitOf(maxChannels, maxChannels),
    }),
  },
  responses: {
    200: json(z.object({ channels: z.array(channelSchema), next: z.string().nullable() })),
    ...problems,
  },
})

const read = createRoute({
  method: 'get',
  path: '/channels/{liveId}',
  tags,
  security: secured,
  summary: 'One channel',
  request: { params: liveIdParams },
  responses: { 200: json(channelSchema), ...problems },
})

const update = createRoute({
  method: 'patch',
  path: '/channels/{liveId}',
  tags,
  security: secured,
  summary: 'Change what is given, leave the rest; title and topic hold for the running show too',
  request: { params: liveIdParams, body: body(channelSettingsSchema) },
  responses: { 200: json(channelSchema), ...problems },
})

const remove = createRoute({
  method: 'delete',
  path: '/channels/{liveId}',
  tags,
  security: secured,
  summary: 'Delete a channel and its keys; ends what is live',
  request: {
    params: liveIdParams,
    query: z.object({ recordings: z.enum(['keep', 'delete']).default('keep') }),
  },
  responses: { 204: { description: 'Deleted' }, ...problems },
})

const banRequest = { tags, security: secured, request: { params: liveIdParams } }
const ban = createRoute({
  ...banRequest,
  method: 'post',
  path: '/channels/{liveId}/ban',
  summary: 'Let nobody publish to a channel; ends what is live within 2 s',
  responses: { 200: json(channelSchema), ...problems },
})
const unban = createRoute({
  ...banRequest,
  method: 'post',
  path: '/channels/{liveId}/unban',
  summary: 'Let its keys publish again',
  responses: { 200: json(channelSchema), ...problems },
})

const listTopics = createRoute({
  method: 'get',
  path: '/topics',
  tags: topicTags,
  security: secured,
  summary: 'List topics',
  responses: { 200: json(z.object({ topics: z.array(topicSchema) })), ...problems },
})

const topicParams = z.object({
  topic: topicIdSchema.openapi({ param: { name: 'topic', in: 'path' } }),
})

const putTopic = createRoute({
  method: 'put',
  path: '/topics/{topic}',
  tags: topicTags,
  security: secured,
  summary: 'Make or rename a topic',
  request: { params: topicParams, body: body(topicSchema.pick({ name: true }).strict()) },
  responses: { 200: json(topicSchema), ...problems },
})

const deleteTopic = createRoute({
  method: 'delete',
  path: '/topics/{topic}',
  tags: topicTags,
  security: secured,
  summary: 'Delete a topic; its channels stay without one',
  request: { params: topicParams },
  responses: { 204: { description: 'Deleted' }, ...problems },
})

export function addChannelRoutes(api: OpenAPIHono, parts: ChannelRouteParts): void {
  const { channels, keys, publishes, onChange } = parts

  api.openapi(create, async (c) => {
    const { liveId, ...settings } = c.req.valid('json')
    const channel = await channels.create(liveId, settings as Partial<ChannelSettings>)
    if (channel === 'topic-unknown') throw topicUnknown(settings.topic)
    if (channel === 'live-id-taken') {
      throw new Problem(409, 'live-id-taken', `There is a channel "${liveId}" already.`)
    }
    const { streamKey } = await keys.create(channel.id, { label: 'first', expiresAt: null })
    onChange()
    return c.json({ ...shown(channel), streamKey }, 201)
  })

  api.openapi(list, async (c) => {
    const query = c.req.valid('query')
    const page = await channels.list(query)
    const next = page.length === query.limit ? (page.at(-1)?.liveId ?? null) : null
    return c.json({ channels: page.map(shown), next }, 200)
  })

  api.openapi(read, async (c) => {
    const { liveId } = c.req.valid('param')
    const channel = await channels.find(liveId)
    if (!channel) throw channelUnknown(liveId)
    return c.json(shown(channel), 200)
  })

  api.openapi(update, async (c) => {
    const { liveId } = c.req.valid('param')
    const settings = c.req.valid('json')
    const channel = await channels.update(liveId, settings as Partial<ChannelSettings>)
    if (channel === 'topic-unknown') throw topicUnknown(settings.topic)
    if (!channel) throw channelUnknown(liveId)
    onChange()
    return c.json(shown(channel), 200)
  })

  api.openapi(remove, async (c) => {
    const { liveId } = c.req.valid('param')
    const withRecordings = c.req.valid('query').recordings === 'delete'
    if (!(await channels.delete(liveId, { withRecordings }))) throw channelUnknown(liveId)
    onChange()
    return c.body(null, 204)
  })

  async function setBanned(liveId: string, isBanned: boolean) {
    if (!(await channels.setBanned(liveId, isBanned))) throw channelUnknown(liveId)
    if (isBanned) await publishes.stop(liveId)
    const channel = await channels.find(liveId)
    if (!channel) throw channelUnknown(liveId)
    onChange()
    return shown(channel)
  }

  api.openapi(ban, async (c) => c.json(await setBanned(c.req.valid('param').liveId, true), 200))
  api.openapi(unban, async (c) => c.json(await setBanned(c.req.valid('param').liveId, false), 200))

  api.openapi(listTopics, async (c) => c.json({ topics: await channels.topics() }, 200))

  api.openapi(putTopic, async (c) => {
    const { topic } = c.req.valid('param')
    const { name } = c.req.valid('json')
    await channels.putTopic(topic, name)
    return c.json({ id: topic, name }, 200)
  })

  api.openapi(deleteTopic, async (c) => {
    const { topic } = c.req.valid('param')
    if (!(await channels.deleteTopic(topic))) {
      throw new Problem(404, 'topic-unknown', `There is no topic "${topic}".`)
    }
    return c.body(null, 204)
  })
}

function shown(channel: Channel) {
  return {
    ...channel,
    createdAt: timeText(channel.createdAt),
    bannedAt: timeText(channel.bannedAt),
  }
}

function topicUnknown(topic: string | null | undefined): Problem {
  const message = `There is no topic "${topic}".`
  return new Problem(400, 'topic-unknown', message, [{ path: 'json.topic', message }])
}
