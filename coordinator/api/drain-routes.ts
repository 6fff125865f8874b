// Takes nodes out of service and lets them in again.
import { createRoute, type OpenAPIHono, z } from '@hono/zod-openapi'
import { nodeIdSchema } from '../../common/contract/membership.ts'
import type { DrainService } from '../drain-service.ts'
import { Problem } from '../problem.ts'
import { json, problems, secured } from './route-parts.ts'
import { type DrainView, drainSchema } from './schemas.ts'

export interface DrainRouteParts {
  drains: DrainService
}

const common = {
  tags: ['Cluster'],
  security: secured,
  request: { params: z.object({ id: nodeIdSchema }) },
  responses: { 200: json(drainSchema), ...problems },
}

const drain = createRoute({
  ...common,
  method: 'post',
  path: '/nodes/{id}/drain',
  summary:
    'Take a node out of service: it gets nothing new; a transcoder’s streams move, one by one',
  description:
    'Holds until it is taken back, over restarts of the node too. Publishers through an edge or gateway stay with it.',
})

const undrain = createRoute({
  ...common,
  method: 'post',
  path: '/nodes/{id}/undrain',
  summary: 'Let a drained node take streams again',
})

const readDrain = createRoute({
  ...common,
  method: 'get',
  path: '/nodes/{id}/drain',
  summary: 'How far a drain is',
})

export function addDrainRoutes(api: OpenAPIHono, { drains }: DrainRouteParts): void {
  api.openapi(drain, async (c) => {
    const { id } = c.req.valid('param')
    return c.json(known(id, await drains.drain(id)), 200)
  })

  api.openapi(undrain, async (c) => {
    const { id } = c.req.valid('param')
    return c.json(known(id, await drains.undrain(id)), 200)
  })

  api.openapi(readDrain, async (c) => {
    const { id } = c.req.valid('param')
    return c.json(known(id, await drains.view(id)), 200)
  })
}

function known(id: string, view: DrainView | undefined): DrainView {
  if (view) return view
  throw new Problem(404, 'node-unknown', `There is no edge, gateway or transcoder "${id}".`)
}
