// What the coordinator's API answers, as far as the console reads it; its OpenAPI document says it in full.
import type { BandwidthMeasure } from '../../../common/contract/bandwidth-test.ts'
import type { NodeLoad, NodeUrls, Role } from '../../../common/contract/membership.ts'
import type {
  AudioFacts,
  Finding,
  Rendition,
  VideoFacts,
} from '../../../common/contract/placement.ts'

export type Health = 'ok' | 'late' | 'draining' | 'left' | 'gone'

export interface ClusterNode {
  id: string
  role: Role
  health: Health
  version: string
  region: string | null
  weight: number
  urls: NodeUrls
  load: NodeLoad
  joinedAt: string
  seenAt: string
}

export interface Stream {
  liveId: string
  broadcastId: string
  epoch: number
  state: 'live' | 'held'
  title: string
  topic: string | null
  startedAt: string
  takes: number
  pop: { id: string } | null
  gateway: { id: string } | null
  transcoder: { id: string } | null
  video: VideoFacts | null
  audio: AudioFacts | null
  renditions: Rendition[]
  findings: Finding[]
  viewers: number
  peakViewers: number
  totalViewers: number
  urls: { watch: string } | null
}

/** Body of the event `state`. */
export interface ClusterState {
  now: string
  nodes: ClusterNode[]
  streams: Stream[]
}

export interface Topic {
  id: string
  name: string
}

export interface ChannelSettings {
  name: string
  title: string
  description: string
  topic: string | null
  record: boolean
}

export interface Channel extends ChannelSettings {
  id: string
  liveId: string
  views: number
  createdAt: string
  bannedAt: string | null
  live: boolean
}

export interface ChannelRefusal {
  code: string
  message: string
  count: number
  firstAt: string
  lastAt: string
  node: string
}

export interface BandwidthTest {
  id: string
  state: 'running' | 'done' | 'lost'
  end: 'left' | 'time-limit' | 'path-lost' | null
  startedAt: string
  pop: { id: string } | null
  gateway: { id: string }
  atPop: BandwidthMeasure | null
  atGateway: BandwidthMeasure | null
}

export interface StreamKey {
  id: string
  label: string
  createdAt: string
  expiresAt: string | null
  revokedAt: string | null
  lastUsedAt: string | null
}

export interface Recording {
  id: string
  liveId: string
  title: string
  startedAt: string
  durationMs: number
  sizeBytes: number
  renditions: Rendition[]
}

export interface RingNode {
  id: string
  weight: number
  /** Part of the hash space, 0 to 1. */
  share: number
  streams: number
  load: number
  cap: number
}

export interface RingStream {
  liveId: string
  epoch: number
  cost: number
  /** Where the lease says. */
  transcoder: string | null
  /** What the ring would say now. */
  ring: string | null
}

export interface RingState {
  vnodes: number
  loadFactor: number
  nodes: RingNode[]
  streams: RingStream[]
  where: { liveId: string; order: string[] }[]
}
