// Composition root of a transcoder; start order is reading order, disposal the reverse.
import { resolve } from 'node:path'
import { startAdminListener } from '../../common/admin/admin-listener.ts'
import { systemClock } from '../../common/clock.ts'
import { createClusterAuth } from '../../common/cluster/cluster-auth.ts'
import { CoordinatorClient } from '../../common/cluster/coordinator-client.ts'
import { MembershipAgent } from '../../common/cluster/membership-agent.ts'
import { NodeHeartbeat } from '../../common/cluster/node-heartbeat.ts'
import type { Logger } from '../../common/log.ts'
import { Metrics } from '../../common/metrics.ts'
import { reachableHost } from '../../common/net/reachable-host.ts'
import { findProcessGuard } from '../../common/process-guard.ts'
import type { RunningRole } from '../../common/role-process.ts'
import { version } from '../../common/version.ts'
import type { ResolvedTranscoderConfig } from '../../config/load.ts'
import type { Reread } from '../../config/reload.ts'
import { RecordingStore } from '../archive/recording-store.ts'
import { FeedServer } from './feed-server.ts'
import { findFfmpeg } from './ffmpeg-command.ts'
import { LeaseReports } from './lease-reports.ts'
import { PlaybackServer } from './playback-server.ts'
import { ProgressFeed } from './progress-feed.ts'
import { ResumeDesk } from './resume-desk.ts'
import { RtmpReceiver } from './rtmp-receiver.ts'
import { StandIn } from './stand-in.ts'
import { StreamJobs } from './stream-jobs.ts'
import { createTranscoderMetrics } from './transcoder-metrics.ts'

const reportEveryMs = 15_000

export async function startTranscoder(
  config: ResolvedTranscoderConfig,
  log: Logger,
  { reread = () => ({ config, adopt() {} }) }: { reread?: Reread<ResolvedTranscoderConfig> } = {},
): Promise<RunningRole> {
  await using stack = new AsyncDisposableStack()
  const clock = systemClock
  const { id } = config.node
  const dataDir = resolve(config.dataDir)
  const mediaFolder = resolve(dataDir, 'media')
  const metrics = new Metrics('transcoder', id, version)
  const auth = createClusterAuth(config.cluster.secret, clock)
  const coordinator = stack.use(
    new CoordinatorClient({
      url: config.cluster.coordinator,
      auth,
      nodeId: id,
      role: 'transcoder',
      log,
      clock,
    }),
  )
  let { ladder } = config
  const guard = await findProcessGuard()
  log.debug({ guards: guard.kinds, ladder: ladder.name }, 'helper processes')
  const ffmpeg = await findFfmpeg(config.ffmpeg)
  if (!ffmpeg.ok) log.error({ ffmpeg: config.ffmpeg, reason: ffmpeg.detail }, 'ffmpeg does not run')
  const recordings = new RecordingStore({
    root: mediaFolder,
    nodeId: id,
    reporter: coordinator,
    log,
  })
  await recordings.open()

  let draining = false
  let bytesIn = 0
  let bytesOut = 0
  const self = new NodeHeartbeat('transcoder', config.node, clock)
  const counters = createTranscoderMetrics(metrics, () => streams.jobs)
  const resumes = stack.use(new ResumeDesk(clock))
  const standIn: StandIn = new StandIn({
    nodeId: id,
    instance: self.instance,
    urls: () => ({ rtmp, url }),
    auth,
    standing: (liveId) => streams.standing(liveId),
    lastEpochOf: (liveId) => streams.lastEpochOf(liveId),
    isDraining: () => draining,
    clock,
    log,
  })
  const leases = stack.use(new LeaseReports({ client: coordinator, standIn, clock }))
  const streams: StreamJobs = new StreamJobs({
    nodeId: id,
    instance: self.instance,
    config: { ...config, ffmpeg: ffmpeg.path },
    mediaFolder,
    ladder: () => ladder,
    guard,
    auth,
    lease: leases,
    resumes,
    recordings,
    clock,
    log,
    metrics: {
      ...counters,
      ingested(bytes) {
        bytesIn += bytes
        counters.ingested(bytes)
      },
    },
    isDraining: () => draining,
    letGo: (broadcast) => playback.letGo(broadcast),
  })
  const progress = stack.use(new ProgressFeed({ clock, jobs: () => streams.jobs }))
  const feeds = stack.use(
    new FeedServer({
      instance: self.instance,
      live: (liveId) => {
        const job = streams.live(liveId)
        return job?.mayPublish ? job : undefined
      },
      clock,
      sent: (bytes) => {
        bytesOut += bytes
      },
    }),
  )
  const playback: PlaybackServer = stack.use(
    new PlaybackServer({
      ...config.http,
      trustedNetworks: config.trustedNetworks,
      auth,
      manifest: { targetDurationSeconds: config.targetDurationSeconds },
      clock,
      log,
      metrics: {
        served(kind, status, bytes) {
          bytesOut += bytes
          counters.served(kind, status, bytes)
        },
      },
      progress,
      feeds,
      resumes,
      standIn,
      live: (liveId) => {
        const job = streams.live(liveId)
        return !job || job.mayPublish ? job : 'elsewhere'
      },
      replayFolder: (recordingId) => recordings.folder(recordingId),
    }),
  )
  await playback.start()
  const url = config.publicUrl ?? `http://${reachableHost(config.http.host)}:${playback.port}`

  const receiver = stack.use(
    new RtmpReceiver({
      ...config.rtmp,
      trustedNetworks: config.trustedNetworks,
      runFolder: resolve(dataDir, 'run'),
      guard,
      clock,
      log,
      decide: (attempt) => streams.decide(attempt),
      onStream: (stream) => streams.onStream(stream),
    }),
  )
  await receiver.start()
  const rtmp =
    config.publicRtmp ?? `rtmp://${reachableHost(config.rtmp.host)}:${receiver.port}/live`
  stack.use(streams)

  const reload = async () => {
    const candidate = reread()
    // For broadcasts from now on.
    ladder = candidate.config.ladder
    candidate.adopt()
  }
  const admin = stack.use(
    await startAdminListener({
      ...config.admin,
      metrics,
      log,
      readiness: () => [
        { name: 'rtmp receiver', ok: receiver.isListening },
        { name: 'ffmpeg', ok: ffmpeg.ok, detail: ffmpeg.detail },
        membership.check,
      ],
      reload,
      drain: () => {
        draining = true
        return membership.beat()
      },
      draining: () => draining,
    }),
  )
  const deleteRecordings = async (ids: readonly string[]) => {
    for (const recordingId of ids) {
      await recordings.delete(recordingId)
      await coordinator.deleteRecording(recordingId)
    }
  }
  const membership: MembershipAgent = new MembershipAgent({
    client: coordinator,
    clock,
    log,
    dataDir,
    heartbeat: () =>
      self.beat({
        urls: { http: url, rtmp, admin: admin.url },
        draining,
        streams: streams.count,
        cost: streams.cost,
        bytesIn,
        bytesOut,
      }),
    onAnswer: ({ recordingsToDelete }) => void deleteRecordings(recordingsToDelete),
  })
  stack.use(membership)
  await membership.start()
  const reports = clock.setInterval(() => void recordings.reportPending(), reportEveryMs)
  stack.defer(() => reports.cancel())
  await recordings.reportPending()

  const owned = stack.move()
  return {
    endpoints: { id, url, rtmp, admin: admin.url },
    reload,
    async [Symbol.asyncDispose]() {
      // The coordinator hears of it before the publishers do: they come back at once and must go elsewhere.
      draining = true
      await membership.beat()
      await streams.endAll()
      await owned[Symbol.asyncDispose]()
    },
  }
}
