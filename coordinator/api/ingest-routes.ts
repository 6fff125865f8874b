// What became of publishers that did not go live: refusals of a channel, bandwidth tests.
import { createRoute, type OpenAPIHono, z } from '@hono/zod-openapi'
import {
  bandwidthMeasureSchema,
  bandwidthReportSchema,
} from '../../common/contract/bandwidth-test.ts'
import { liveIdSchema } from '../../common/contract/channel.ts'
import { nodeIdSchema } from '../../common/contract/membership.ts'
import { connectionSchema, refusalCodeSchema } from '../../common/contract/placement.ts'
import type { BandwidthTest, BandwidthTests } from '../bandwidth-tests.ts'
import type { ChannelRefusals } from '../channel-refusals.ts'
import type { ChannelStore } from '../channel-store.ts'
import { Problem } from '../problem.ts'
import { channelUnknown, json, liveIdParams, problems, secured, timeText } from './route-parts.ts'

export interface IngestRouteParts {
  channels: ChannelStore
  refusals: ChannelRefusals
  bandwidthTests: BandwidthTests
}

const time = z.iso.datetime()

const refusalSchema = z
  .object({
    code: refusalCodeSchema,
    message: z.string().openapi({ description: 'What the last one was told' }),
    count: z.int(),
    firstAt: time,
    lastAt: time,
    node: nodeIdSchema,
  })
  .openapi('ChannelRefusal')

const bandwidthTestSchema = z
  .object({
    id: connectionSchema,
    liveId: liveIdSchema,
    state: z
      .enum(['running', 'done', 'lost'])
      .openapi({ description: 'lost: its result was not told in time' }),
    end: bandwidthReportSchema.shape.end.nullable().openapi({
      description:
        'left: by the publisher; time-limit: a minute was over; path-lost: the gateway went; null while it runs',
    }),
    startedAt: time,
    clientAddress: z.string(),
    pop: z.object({ id: nodeIdSchema }).nullable(),
    gateway: z.object({ id: nodeIdSchema }),
    atPop: bandwidthMeasureSchema
      .nullable()
      .openapi({ description: 'From the publisher to its POP; null until it is over' }),
    atGateway: bandwidthMeasureSchema
      .nullable()
      .openapi({ description: 'From the publisher through its POP to the gateway' }),
  })
  .openapi('BandwidthTest')

const listRefusals = createRoute({
  method: 'get',
  path: '/channels/{liveId}/refusals',
  tags: ['Channels'],
  security: secured,
  summary: 'Why publishers of a channel were refused in the last day, the latest reason first',
  description: 'In memory: a restart of the coordinator forgets them.',
  request: { params: liveIdParams },
  responses: { 200: json(z.object({ refusals: z.array(refusalSchema) })), ...problems },
})

const listTests = createRoute({
  method: 'get',
  path: '/bandwidth-tests',
  tags: ['Bandwidth tests'],
  security: secured,
  summary: 'The last ten bandwidth tests of a channel in the last day, newest first',
  description: 'In memory: a restart of the coordinator forgets them.',
  request: { query: z.object({ liveId: liveIdSchema }) },
  responses: { 200: json(z.object({ bandwidthTests: z.array(bandwidthTestSchema) })), ...problems },
})

const readTest = createRoute({
  method: 'get',
  path: '/bandwidth-tests/{id}',
  tags: ['Bandwidth tests'],
  security: secured,
  summary: 'One bandwidth test',
  request: {
    params: z.object({ id: connectionSchema }),
  },
  responses: { 200: json(bandwidthTestSchema), ...problems },
})

export function addIngestRoutes(api: OpenAPIHono, parts: IngestRouteParts): void {
  const { channels, refusals, bandwidthTests } = parts

  async function channelIdOf(liveId: string): Promise<string> {
    const channel = await channels.find(liveId)
    if (!channel) throw channelUnknown(liveId)
    return channel.id
  }

  function shown(test: BandwidthTest) {
    const { id, liveId, clientAddress, startedAt, pop, gateway, end, atPop, atGateway } = test
    return {
      ...{ id, liveId, clientAddress },
      state: bandwidthTests.stateOf(test),
      end: end ?? null,
      startedAt: timeText(startedAt),
      pop: pop === null ? null : { id: pop },
      gateway: { id: gateway },
      atPop: atPop ?? null,
      atGateway: atGateway ?? null,
    }
  }

  api.openapi(listRefusals, async (c) => {
    const all = refusals.list(await channelIdOf(c.req.valid('param').liveId))
    const dated = all.map((refused) => ({
      ...refused,
      firstAt: timeText(refused.firstAt),
      lastAt: timeText(refused.lastAt),
    }))
    return c.json({ refusals: dated }, 200)
  })

  api.openapi(listTests, async (c) => {
    const all = bandwidthTests.list(await channelIdOf(c.req.valid('query').liveId))
    return c.json({ bandwidthTests: all.map(shown) }, 200)
  })

  api.openapi(readTest, (c) => {
    const test = bandwidthTests.find(c.req.valid('param').id)
    if (!test) {
      throw new Problem(404, 'bandwidth-test-unknown', 'There is no such test, or not any more.')
    }
    return c.json(shown(test), 200)
  })
}
