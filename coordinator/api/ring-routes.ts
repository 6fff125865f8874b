// The ring as the API shows it: who owns what now, and what another set of transcoders would change.
import { createRoute, type OpenAPIHono, z } from '@hono/zod-openapi'
import { liveIdSchema } from '../../common/contract/channel.ts'
import { nodeIdSchema } from '../../common/contract/membership.ts'
import { parseRingNode } from '../../common/ring.ts'
import type { ChannelStore } from '../channel-store.ts'
import type { ClusterView } from '../cluster-view.ts'
import { Problem } from '../problem.ts'
import { json, problems, secured } from './route-parts.ts'
import { ringSchema, whatIfSchema } from './schemas.ts'

export interface RingRouteParts {
  view: ClusterView
  channels: ChannelStore
}

const readRing = createRoute({
  method: 'get',
  path: '/ring',
  tags: ['Cluster'],
  security: secured,
  summary: 'Who owns which part of the ring, and where each stream is',
  request: {
    query: z.object({
      liveId: z
        .optional(liveIdSchema)
        .openapi({ description: 'Also tell where this one would go' }),
    }),
  },
  responses: { 200: json(ringSchema), ...problems },
})

const addedNode = z.string().transform((text, context) => {
  const node = parseRingNode(text)
  if (node) return node
  context.addIssue({
    code: 'custom',
    message: `got "${text}", expected a node id, or id:weight with a weight above 0`,
  })
  return z.NEVER
})

/** A query names a list by saying its name again and again; one alone comes as text. */
const oneOrMore = (value: unknown) => (typeof value === 'string' ? [value] : value)
const listOf = { type: 'array', items: { type: 'string' } } as const

const readWhatIf = createRoute({
  method: 'get',
  path: '/ring/whatif',
  tags: ['Cluster'],
  security: secured,
  summary: 'The live ids that would move if transcoders were added or removed; changes nothing',
  description:
    'By the ring alone, without regard to load. A live stream is sticky: it stays on its transcoder until its ' +
    'broadcast ends, or that node is drained or fails.',
  request: {
    query: z.object({
      add: z.preprocess(oneOrMore, z.array(addedNode).default([])).openapi({
        ...listOf,
        description: 'Node that would come, as `id` or `id:weight`; may be given more than once',
      }),
      remove: z.preprocess(oneOrMore, z.array(nodeIdSchema).default([])).openapi({
        ...listOf,
        description: 'Node that would go; may be given more than once',
      }),
    }),
  },
  responses: { 200: json(whatIfSchema), ...problems },
})

export function addRingRoutes(api: OpenAPIHono, { view, channels }: RingRouteParts): void {
  api.openapi(readRing, async (c) => {
    const { liveId } = c.req.valid('query')
    return c.json(await view.ring(liveId === undefined ? [] : [liveId]), 200)
  })

  api.openapi(readWhatIf, async (c) => {
    const answer = await view.whatIf(c.req.valid('query'), await channels.liveIds())
    if ('problem' in answer) throw new Problem(400, 'ring-change-invalid', answer.problem)
    return c.json(answer, 200)
  })
}
