// Drops objects from all caches of the cluster.
import { createRoute, type OpenAPIHono, z } from '@hono/zod-openapi'
import { liveIdSchema } from '../../common/contract/channel.ts'
import { Problem } from '../problem.ts'
import type { PurgeService } from '../purge-service.ts'
import { prefixOfLiveId, prefixOfRecording, prefixOfUrl } from '../purge-target.ts'
import { body, json, problems, secured, uuidParams } from './route-parts.ts'
import { type PurgeView, purgeSchema } from './schemas.ts'

export interface PurgeRouteParts {
  purges: PurgeService
}

const targetSchema = z
  .strictObject({
    url: z
      .string()
      .max(2_048)
      .optional()
      .openapi({ description: 'URL or path of an object; its query is not looked at' }),
    liveId: liveIdSchema.optional(),
    recordingId: z.uuid().optional(),
  })
  .refine((target) => Object.values(target).filter((it) => it !== undefined).length === 1, {
    message: 'needs one of url, liveId and recordingId, and no more',
  })
  .openapi('PurgeTarget')

const begin = createRoute({
  method: 'post',
  path: '/purges',
  tags: ['Cluster'],
  security: secured,
  summary: 'Drop an object, a live id or a recording from all caches, within a second',
  description:
    'Gateways first, then edges, so that no edge gets the old object from a gateway. Objects that are just arriving serve those who wait for them and are not stored. Answers when every cache has, after 900 ms at the latest.',
  request: { body: body(targetSchema) },
  responses: { 200: json(purgeSchema), ...problems },
})

const read = createRoute({
  method: 'get',
  path: '/purges/{id}',
  tags: ['Cluster'],
  security: secured,
  summary: 'Who has purged by now; for ten minutes',
  request: { params: uuidParams },
  responses: { 200: json(purgeSchema), ...problems },
})

export function addPurgeRoutes(api: OpenAPIHono, { purges }: PurgeRouteParts): void {
  api.openapi(begin, async (c) => c.json(await purges.purge(prefixOf(c.req.valid('json'))), 200))

  api.openapi(read, (c) => {
    const { id } = c.req.valid('param')
    const view: PurgeView | undefined = purges.view(id)
    if (!view) throw new Problem(404, 'purge-unknown', 'There was no such purge lately.')
    return c.json(view, 200)
  })
}

function prefixOf({ url = '', liveId, recordingId }: z.infer<typeof targetSchema>): string {
  if (liveId !== undefined) return prefixOfLiveId(liveId)
  if (recordingId !== undefined) return prefixOfRecording(recordingId)
  const found = prefixOfUrl(url)
  if ('problem' in found) throw new Problem(400, 'no-object', found.problem)
  return found.prefix
}
