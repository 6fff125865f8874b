// What a transcoder counts: one method per event, names and labels here and nowhere else.
import type { RefusalCode } from '../../common/contract/refusal.ts'
import type { Metrics } from '../../common/metrics.ts'
import type { DropReason } from '../archive/segment-archive.ts'

export interface JobView {
  state: string
  lagSeconds: number | undefined
}

export interface TranscoderMetrics {
  connectionOpened(): void
  connectionClosed(): void
  refused(code: RefusalCode): void
  ingested(bytes: number): void
  restarted(reason: string): void
  firstSegment(seconds: number): void
  committed(sizeBytes: number): void
  /** A segment could not be published. */
  faulted(): void
  /** A segment is missing from its recording. */
  unrecorded(reason: DropReason): void
  served(kind: string, status: number, bytes: number): void
}

export function createTranscoderMetrics(
  metrics: Metrics,
  jobs: () => Iterable<JobView>,
): TranscoderMetrics {
  const connections = metrics.gauge({
    name: 'ingest_connections',
    help: 'Publishers connected now.',
    labels: ['proto'] as const,
  })
  const connectionsTotal = metrics.counter({
    name: 'ingest_connections_total',
    help: 'Publishes that were decided.',
    labels: ['proto', 'result'] as const,
  })
  const rejected = metrics.counter({
    name: 'ingest_rejected_total',
    help: 'Publishes and streams that were refused.',
    labels: ['reason'] as const,
  })
  const bytesTotal = metrics.counter({
    name: 'ingest_bytes_total',
    help: 'Media bytes from publishers.',
    labels: ['proto'] as const,
  })
  metrics.gauge(
    { name: 'transcode_jobs', help: 'Broadcasts on this node.', labels: ['state'] as const },
    (gauge) => {
      gauge.reset()
      for (const state of ['receiving', 'held']) gauge.set({ state }, 0)
      for (const job of jobs()) gauge.inc({ state: job.state })
    },
  )
  metrics.gauge(
    {
      name: 'transcode_lag_seconds',
      help: 'How far the slowest rendition of the slowest stream is behind its source.',
    },
    (gauge) => gauge.set(Math.max(0, ...[...jobs()].map((job) => job.lagSeconds ?? 0))),
  )
  const restarts = metrics.counter({
    name: 'transcode_restarts_total',
    help: 'Encoders that were replaced while their publisher stayed.',
    labels: ['reason'] as const,
  })
  const start = metrics.histogram({
    name: 'transcode_start_seconds',
    help: 'From the first sample of a publisher to the first complete segment.',
    buckets: [0.5, 1, 2, 3, 4, 5, 7.5, 10, 20],
  })
  const segments = metrics.counter({
    name: 'segments_total',
    help: 'Segments committed, over all renditions.',
  })
  const segmentBytes = metrics.counter({
    name: 'segment_bytes_total',
    help: 'Bytes of committed segments.',
  })
  const faults = metrics.counter({
    name: 'segment_faults_total',
    help: 'Segments that could not be published: broken or refused by the commit log.',
  })
  const unrecorded = metrics.counter({
    name: 'segments_unrecorded_total',
    help: 'Segments that are missing from their recording.',
    labels: ['reason'] as const,
  })
  const requests = metrics.counter({
    name: 'http_requests_total',
    help: 'Requests for media, by kind of object.',
    labels: ['kind', 'code'] as const,
  })
  const sent = metrics.counter({
    name: 'http_sent_bytes_total',
    help: 'Body bytes of media answers.',
  })
  return {
    connectionOpened() {
      connections.inc({ proto: 'rtmp' })
      connectionsTotal.inc({ proto: 'rtmp', result: 'accepted' })
    },
    connectionClosed: () => connections.dec({ proto: 'rtmp' }),
    refused(code) {
      connectionsTotal.inc({ proto: 'rtmp', result: 'refused' })
      rejected.inc({ reason: code })
    },
    ingested: (bytes) => bytesTotal.inc({ proto: 'rtmp' }, bytes),
    restarted: (reason) => restarts.inc({ reason }),
    firstSegment: (seconds) => start.observe(seconds),
    committed(sizeBytes) {
      segments.inc()
      segmentBytes.inc(sizeBytes)
    },
    faulted: () => faults.inc(),
    unrecorded: (reason) => unrecorded.inc({ reason }),
    served(kind, status, bytes) {
      requests.inc({ kind, code: String(status) })
      sent.inc(bytes)
    },
  }
}
