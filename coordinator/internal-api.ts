// What nodes ask of the coordinator, under `/internal/v1`: every call proves by a node token who is asking.
import { Hono, type MiddlewareHandler } from 'hono'
import { z } from 'zod'
import type { Clock } from '../common/clock.ts'
import type { ClusterAuth, NodeIdentity } from '../common/cluster/cluster-auth.ts'
import {
  bandwidthReportSchema,
  bandwidthTestRequestSchema,
} from '../common/contract/bandwidth-test.ts'
import { liveIdSchema } from '../common/contract/channel.ts'
import { type HeartbeatAnswer, heartbeatSchema } from '../common/contract/membership.ts'
import {
  goesOnElsewhere,
  type LeaseAnswer,
  leaseReleaseSchema,
  leaseRenewalSchema,
  publishRequestSchema,
  type RecordingLocation,
  recordingReportSchema,
} from '../common/contract/placement.ts'
import { purgeReportSchema } from '../common/contract/purge.ts'
import { isRetryable, type Refusal } from '../common/contract/refusal.ts'
import { refusalReportSchema } from '../common/contract/refusal-report.ts'
import type { KnownKeyList } from '../common/contract/stand-in.ts'
import type { Logger } from '../common/log.ts'
import type { Adoptions } from './adoptions.ts'
import type { BandwidthTests } from './bandwidth-tests.ts'
import { bodySizeLimit } from './body-size.ts'
import type { ChangeFeed } from './change-feed.ts'
import type { ChannelRefusals } from './channel-refusals.ts'
import type { ChannelStatuses } from './channel-status.ts'
import type { SnapshotRenderer } from './cluster-snapshot.ts'
import { eventResponse } from './event-response.ts'
import type { KnownKeys } from './known-keys.ts'
import type { LeaseStore } from './lease-store.ts'
import type { Membership } from './membership.ts'
import { invalidRequest, Problem } from './problem.ts'
import type { PublishService } from './publish-service.ts'
import type { PurgeService } from './purge-service.ts'
import type { RecordingStore } from './recording-store.ts'
import type { ViewerCounts } from './viewer-counts.ts'

const maxBodyBytes = 4 * 1024 * 1024

export interface InternalApiParts {
  auth: ClusterAuth
  clock: Clock
  log: Logger
  closing: AbortSignal
  membership: Membership
  leases: LeaseStore
  publishes: PublishService
  adoptions: Adoptions
  knownKeys: KnownKeys
  recordings: RecordingStore
  viewers: ViewerCounts
  statuses: ChannelStatuses
  refusals: ChannelRefusals
  bandwidthTests: BandwidthTests
  purges: PurgeService
  snapshot: SnapshotRenderer
  snapshotFeed: ChangeFeed
  onChange: () => void
}

type Env = { Variables: { node: NodeIdentity } }

export function internalApi(parts: InternalApiParts): Hono<Env> {
  const { membership, leases, publishes, recordings, log } = parts
  const app = new Hono<Env>()
  app.use(nodeTokenRequired(parts.auth))
  app.use(bodySizeLimit(maxBodyBytes))

  app.put('/nodes/:id', async (c) => {
    const { nodeId, role } = c.get('node')
    const beat = await bodyOf(c.req, heartbeatSchema)
    if (c.req.param('id') !== nodeId || beat.role !== role) throw notYours()
    if ((await membership.beat(nodeId, beat)) === 'id-taken') {
      log.error({ node: nodeId, instance: beat.instance }, 'two processes use one node id')
      throw new Problem(409, 'node-id-taken', `Another process runs as node "${nodeId}".`)
    }
    parts.viewers.heard(nodeId)
    return c.json<HeartbeatAnswer>({
      generation: parts.snapshot.generation,
      now: parts.clock.now(),
      recordingsToDelete: role === 'transcoder' ? await recordings.toDelete(nodeId) : [],
      ...(role === 'gateway' && { knownKeys: await parts.knownKeys.version() }),
    })
  })

  app.delete('/nodes/:id', async (c) => {
    const { nodeId } = c.get('node')
    if (c.req.param('id') !== nodeId) throw notYours()
    await membership.leave(nodeId)
    return c.body(null, 204)
  })

  app.get('/events', () =>
    eventResponse({
      feed: parts.snapshotFeed,
      event: 'snapshot',
      clock: parts.clock,
      closing: parts.closing,
    }),
  )

  app.get('/known-keys', async (c) => {
    if (c.get('node').role !== 'gateway') throw notYours()
    return c.json<KnownKeyList>(await parts.knownKeys.list())
  })

  app.post('/publishes', async (c) => {
    const { nodeId, role } = c.get('node')
    const request = await bodyOf(c.req, publishRequestSchema)
    if (role !== 'gateway' || request.gateway !== nodeId) throw notYours()
    const outcome = await publishes.publish(request)
    if ('granted' in outcome) return c.json(outcome.granted)
    return c.json(outcome.refused, statusOf(outcome.refused))
  })

  app.post('/bandwidth-tests', async (c) => {
    const { nodeId, role } = c.get('node')
    const request = await bodyOf(c.req, bandwidthTestRequestSchema)
    if (role !== 'gateway' || request.gateway !== nodeId) throw notYours()
    const outcome = await parts.bandwidthTests.begin(request)
    if ('refused' in outcome) return c.json(outcome.refused, statusOf(outcome.refused))
    return c.json(outcome)
  })

  app.put('/bandwidth-tests/:id', async (c) => {
    const report = await bodyOf(c.req, bandwidthReportSchema)
    if (!parts.bandwidthTests.report(c.req.param('id'), c.get('node').nodeId, report)) {
      throw new Problem(404, 'bandwidth-test-unknown', 'There is no such test of yours.')
    }
    return c.body(null, 204)
  })

  app.post('/refusals', async (c) => {
    const { nodeId, role } = c.get('node')
    if (role !== 'edge' && role !== 'gateway') throw notYours()
    await parts.refusals.note(nodeId, await bodyOf(c.req, refusalReportSchema))
    return c.body(null, 204)
  })

  app.post('/purges/:id/done', async (c) => {
    const { nodeId, role } = c.get('node')
    if (role !== 'edge' && role !== 'gateway') throw notYours()
    const report = await bodyOf(c.req, purgeReportSchema)
    if (!parts.purges.note(nodeId, c.req.param('id'), report)) {
      throw new Problem(404, 'purge-unknown', 'There was no such purge lately.')
    }
    return c.body(null, 204)
  })

  app.post('/leases/:liveId/renew', async (c) => {
    const liveId = c.req.param('liveId')
    if (c.get('node').role !== 'transcoder') throw notYours()
    const renewal = await bodyOf(c.req, leaseRenewalSchema)
    const refused = await parts.adoptions.adopt(c.get('node').nodeId, liveId, renewal)
    const renewed = await leases.renew(liveId, renewal)
    if (!renewed) return c.json<LeaseAnswer>({ ...(await lost(liveId)), refused }, 409)
    if (renewed.isNews) parts.onChange()
    const { stop } = renewed
    return c.json<LeaseAnswer>({ outcome: 'held', epoch: renewal.epoch, stop, refused })
  })

  app.post('/leases/:liveId/release', async (c) => {
    const liveId = c.req.param('liveId')
    if (c.get('node').role !== 'transcoder') throw notYours()
    const { reason, ...holder } = await bodyOf(c.req, leaseReleaseSchema)
    const isDone = goesOnElsewhere(reason)
      ? await leases.unbind(liveId, holder)
      : await leases.release(liveId, holder, reason)
    if (!isDone) return c.json(await lost(liveId), 409)
    log.info({ liveId, epoch: holder.epoch, reason }, 'lease released')
    parts.onChange()
    return c.json<LeaseAnswer>({ outcome: 'held', epoch: holder.epoch, stop: false })
  })

  async function lost(liveId: string): Promise<LeaseAnswer> {
    return { outcome: 'lost', epoch: await leases.epochOf(liveId), stop: false }
  }

  app.get('/channels/:liveId/status', async (c) => {
    const liveId = liveIdSchema.safeParse(c.req.param('liveId'))
    const status = liveId.success ? await parts.statuses.find(liveId.data) : undefined
    if (!status) throw new Problem(404, 'channel-unknown', 'There is no such channel.')
    return c.json(status)
  })

  app.put('/recordings/:id', async (c) => {
    const { nodeId } = c.get('node')
    const id = uuidOf(c.req.param('id'))
    const report = await bodyOf(c.req, recordingReportSchema)
    if (report.transcoder !== nodeId) throw notYours()
    const outcome = await recordings.report(id, report)
    if (outcome === 'taken') {
      throw new Problem(
        409,
        'recording-taken',
        'Another transcoder has a longer recording by that id.',
      )
    }
    if (outcome === 'gone') throw new Problem(410, 'recording-gone', 'The recording was deleted.')
    parts.onChange()
    return c.body(null, 204)
  })

  app.get('/recordings/:id', async (c) => {
    const recording = await recordings.find(uuidOf(c.req.param('id')))
    if (!recording) throw new Problem(404, 'recording-unknown', 'There is no such recording.')
    const url = membership.member(recording.transcoder)?.info.urls.http ?? null
    return c.json<RecordingLocation>({
      id: recording.id,
      transcoder: { id: recording.transcoder, url },
    })
  })

  app.delete('/recordings/:id', async (c) => {
    const isGone = await recordings.remove(uuidOf(c.req.param('id')), c.get('node').nodeId)
    if (!isGone) throw new Problem(404, 'recording-unknown', 'There is no such recording of yours.')
    parts.onChange()
    return c.body(null, 204)
  })

  return app
}

function nodeTokenRequired(auth: ClusterAuth): MiddlewareHandler<Env> {
  return async (c, next) => {
    const token = /^Bearer (.+)$/i.exec(c.req.header('authorization') ?? '')?.[1]
    const node = token === undefined ? undefined : await auth.verifyNodeToken(token)
    if (!node) {
      throw new Problem(
        401,
        'node-token-invalid',
        'Nodes of the cluster only: the node token is missing, expired or under another secret.',
      )
    }
    c.set('node', node)
    await next()
  }
}

function statusOf({ code }: Refusal): 503 | 403 {
  return isRetryable(code) ? 503 : 403
}

function notYours(): Problem {
  return new Problem(403, 'not-yours', 'A node may only speak for itself and its role.')
}

function uuidOf(text: string): string {
  const id = z.uuid().safeParse(text)
  if (!id.success) throw new Problem(404, 'recording-unknown', 'There is no such recording.')
  return id.data
}

async function bodyOf<Schema extends z.ZodType>(
  request: { json(): Promise<unknown> },
  schema: Schema,
): Promise<z.infer<Schema>> {
  let value: unknown
  try {
    value = await request.json()
  } catch (err) {
    if (err instanceof Problem) throw err
    throw new Problem(400, 'invalid-json', 'The body is not JSON.')
  }
  const parsed = schema.safeParse(value)
  if (!parsed.success) throw invalidRequest('body', parsed.error)
  return parsed.data
}
