// `/api/v1/channels/{liveId}/keys`: the stream keys of a channel.
import { createRoute, type OpenAPIHono, z } from '@hono/zod-openapi'
import type { ChannelStore } from '../channel-store.ts'
import { Problem } from '../problem.ts'
import type { StreamKeyInfo, StreamKeyStore } from '../stream-key-store.ts'
import {
  body,
  channelUnknown,
  json,
  liveIdParams,
  problems,
  secured,
  timeText,
} from './route-parts.ts'
import { madeKeySchema, newKeySchema, streamKeySchema } from './schemas.ts'

const tags = ['Stream keys']
const base = '/channels/{liveId}/keys'
const keyParams = liveIdParams.extend({
  keyId: z.uuid().openapi({ param: { name: 'keyId', in: 'path' } }),
})

const list = createRoute({
  method: 'get',
  path: base,
  tags,
  security: secured,
  summary: 'List the keys of a channel, without the keys themselves',
  request: { params: liveIdParams },
  responses: { 200: json(z.object({ keys: z.array(streamKeySchema) })), ...problems },
})

const create = createRoute({
  method: 'post',
  path: base,
  tags,
  security: secured,
  summary: 'Make another key; the others stay valid',
  request: { params: liveIdParams, body: body(newKeySchema) },
  responses: { 201: json(madeKeySchema, 'Made'), ...problems },
})

const rotate = createRoute({
  method: 'post',
  path: `${base}/rotate`,
  tags,
  security: secured,
  summary: 'Make a new key and revoke all others in one step',
  request: { params: liveIdParams, body: body(newKeySchema) },
  responses: {
    201: json(madeKeySchema.extend({ revoked: z.int() }), 'Made'),
    ...problems,
  },
})

const revokeRequest = {
  tags,
  security: secured,
  request: { params: keyParams },
}
const revoke = createRoute({
  ...revokeRequest,
  method: 'post',
  path: `${base}/{keyId}/revoke`,
  summary: 'Revoke a key; a running show goes on',
  responses: { 200: json(streamKeySchema), ...problems },
})
const remove = createRoute({
  ...revokeRequest,
  method: 'delete',
  path: `${base}/{keyId}`,
  summary: 'Revoke a key, as by POST …/revoke',
  responses: { 204: { description: 'Revoked' }, ...problems },
})

const read = createRoute({
  ...revokeRequest,
  method: 'get',
  path: `${base}/{keyId}/secret`,
  summary: 'Read a key again, where the operator has sealed keys kept',
  responses: { 200: json(z.object({ streamKey: z.string() })), ...problems },
})

export function addKeyRoutes(
  api: OpenAPIHono,
  { channels, keys }: { channels: ChannelStore; keys: StreamKeyStore },
): void {
  async function channelIdOf(liveId: string): Promise<string> {
    const channel = await channels.find(liveId)
    if (!channel) throw channelUnknown(liveId)
    return channel.id
  }

  async function revokeKey({ liveId, keyId }: { liveId: string; keyId: string }) {
    const key = await keys.revoke(await channelIdOf(liveId), keyId)
    if (!key) throw keyUnknown()
    return shown(key)
  }

  api.openapi(list, async (c) => {
    const all = await keys.list(await channelIdOf(c.req.valid('param').liveId))
    return c.json({ keys: all.map(shown) }, 200)
  })

  api.openapi(create, async (c) => {
    const channelId = await channelIdOf(c.req.valid('param').liveId)
    const { streamKey, ...made } = await keys.create(channelId, newKey(c.req.valid('json')))
    return c.json({ ...shown(made), streamKey }, 201)
  })

  api.openapi(rotate, async (c) => {
    const channelId = await channelIdOf(c.req.valid('param').liveId)
    const made = await keys.rotate(channelId, newKey(c.req.valid('json')))
    const { streamKey, revoked, ...key } = made
    return c.json({ ...shown(key), streamKey, revoked }, 201)
  })

  api.openapi(revoke, async (c) => c.json(await revokeKey(c.req.valid('param')), 200))

  api.openapi(remove, async (c) => {
    await revokeKey(c.req.valid('param'))
    return c.body(null, 204)
  })

  api.openapi(read, async (c) => {
    const { liveId, keyId } = c.req.valid('param')
    const streamKey = await keys.read(await channelIdOf(liveId), keyId)
    if (streamKey === undefined) throw keyUnknown()
    if (streamKey === 'not-sealed') {
      throw new Problem(404, 'key-not-sealed', 'No readable copy of this key is kept.')
    }
    c.header('cache-control', 'no-store')
    return c.json({ streamKey }, 200)
  })
}

function newKey({ label, expiresAt }: z.infer<typeof newKeySchema>) {
  return { label, expiresAt: expiresAt === null ? null : Date.parse(expiresAt) }
}

function shown(key: StreamKeyInfo) {
  return {
    ...key,
    createdAt: timeText(key.createdAt),
    expiresAt: timeText(key.expiresAt),
    revokedAt: timeText(key.revokedAt),
    lastUsedAt: timeText(key.lastUsedAt),
  }
}

function keyUnknown(): Problem {
  return new Problem(404, 'key-unknown', 'The channel has no such key.')
}
