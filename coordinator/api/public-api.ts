// The public API under `/api/v1`: who may use it, its routes, and its description as OpenAPI 3.1.
import { createRoute, OpenAPIHono, z } from '@hono/zod-openapi'
import type { MiddlewareHandler } from 'hono'
import type { Clock } from '../../common/clock.ts'
import { version } from '../../common/version.ts'
import type { Access, AccessTokens } from '../access-tokens.ts'
import { bodySizeLimit } from '../body-size.ts'
import type { ChangeFeed } from '../change-feed.ts'
import { eventResponse } from '../event-response.ts'
import { ingestList } from '../ingest-list.ts'
import type { Membership } from '../membership.ts'
import { invalidRequest, Problem, problemSchema } from '../problem.ts'
import { addChannelRoutes, type ChannelRouteParts } from './channel-routes.ts'
import { addClusterRoutes, type ClusterRouteParts } from './cluster-routes.ts'
import { addDrainRoutes, type DrainRouteParts } from './drain-routes.ts'
import { addIngestRoutes, type IngestRouteParts } from './ingest-routes.ts'
import { addKeyRoutes } from './key-routes.ts'
import { addPurgeRoutes, type PurgeRouteParts } from './purge-routes.ts'
import { addRingRoutes, type RingRouteParts } from './ring-routes.ts'
import { json, problems, secured } from './route-parts.ts'
import { ingestsSchema, nodeSchema, streamSchema } from './schemas.ts'
import { addSessionRoutes, bearerOf } from './session-routes.ts'

const maxBodyBytes = 64 * 1024

export interface PublicApiParts
  extends ChannelRouteParts,
    ClusterRouteParts,
    RingRouteParts,
    DrainRouteParts,
    PurgeRouteParts,
    IngestRouteParts {
  clock: Clock
  tokens: AccessTokens
  membership: Membership
  consoleFeed: ChangeFeed
  closing: AbortSignal
}

/** What the console's event stream carries, whole, in each `state` event. */
export const consoleStateSchema = z
  .object({ now: z.iso.datetime(), nodes: z.array(nodeSchema), streams: z.array(streamSchema) })
  .openapi('ConsoleState')

const events = createRoute({
  method: 'get',
  path: '/events',
  tags: ['Cluster'],
  security: secured,
  summary: 'Server-sent events: `state`, the whole state, now and after each change',
  description:
    'Takes the bearer in the Authorization header only, never in the URL, where logs would keep it. ' +
    'Browsers: read the body of fetch() as a stream, since EventSource sets no headers.',
  responses: {
    200: {
      description: 'An endless stream; a comment every 5 s shows that it lives',
      content: { 'text/event-stream': { schema: consoleStateSchema } },
    },
    ...problems,
  },
})

const ingests = createRoute({
  method: 'get',
  path: '/ingests',
  tags: ['Ingests'],
  summary: 'POPs for encoders, in the shape that Twitch uses; nearest first where a place is given',
  request: {
    query: z.object({
      latitude: z.coerce.number().min(-90).max(90).optional(),
      longitude: z.coerce.number().min(-180).max(180).optional(),
    }),
  },
  responses: { 200: json(ingestsSchema), ...problems },
})

export function newApp(): OpenAPIHono {
  return new OpenAPIHono({
    defaultHook: (result) => {
      if (!result.success) throw invalidRequest(result.target, result.error)
    },
  })
}

export function addPublicApi(app: OpenAPIHono, parts: PublicApiParts): void {
  const access = new WeakMap<Request, Access>()
  const api = newApp()
  api.use(bodySizeLimit(maxBodyBytes))
  api.use(bearerRequired(parts.tokens, access))
  addChannelRoutes(api, parts)
  addKeyRoutes(api, parts)
  addIngestRoutes(api, parts)
  addClusterRoutes(api, parts)
  addRingRoutes(api, parts)
  addDrainRoutes(api, parts)
  addPurgeRoutes(api, parts)
  addSessionRoutes(api, parts.tokens)
  // The response is a stream, which the typed answers of a route cannot express.
  api.openAPIRegistry.registerPath(events)
  api.get('/events', (c) => {
    const lifeMs = access.get(c.req.raw)?.lifeMs
    return eventResponse({
      feed: parts.consoleFeed,
      event: 'state',
      clock: parts.clock,
      closing: parts.closing,
      ...(lifeMs !== undefined && { lifeMs }),
    })
  })
  api.openAPIRegistry.registerComponent('securitySchemes', 'bearer', {
    type: 'http',
    scheme: 'bearer',
    description: 'The admin token, or the token of a session',
  })
  api.openAPIRegistry.register('Problem', problemSchema)
  app.route('/api/v1', api)

  for (const path of ['/ingests', '/api/v2/ingests']) {
    app.openapi({ ...ingests, path }, (c) => {
      const { latitude, longitude } = c.req.valid('query')
      const place =
        latitude === undefined || longitude === undefined ? undefined : { latitude, longitude }
      const edges = parts.membership.members('edge').map(({ info }) => info)
      c.header('cache-control', 'max-age=5')
      c.header('access-control-allow-origin', '*')
      return c.json({ ingests: ingestList(edges, place) }, 200)
    })
  }
  app.doc31('/api/v1/openapi.json', {
    openapi: '3.1.0',
    info: {
      title: 'Nearcast coordinator',
      version,
      license: { name: 'Apache-2.0' },
    },
  })
}

/** Everything below `/api/v1` but the description itself and the exchange of a code. */
function bearerRequired(tokens: AccessTokens, seen: WeakMap<Request, Access>): MiddlewareHandler {
  return async (c, next) => {
    const isOpen =
      c.req.path === '/api/v1/openapi.json' ||
      (c.req.path === '/api/v1/sessions' && c.req.method === 'POST')
    if (!isOpen) {
      const token = bearerOf(c.req.header('authorization'))
      const access = token === undefined ? undefined : await tokens.verify(token)
      if (!access) {
        throw new Problem(
          401,
          'bearer-invalid',
          'Send the admin token or a session token as "Authorization: Bearer …".',
        )
      }
      seen.set(c.req.raw, access)
    }
    await next()
  }
}
