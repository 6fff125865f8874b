// The tables as kysely sees them. Times are integer ms since the Unix epoch, flags are 0 or 1.
import type { Generated } from 'kysely'

export interface ChannelTable {
  id: string
  live_id: string
  /** Account that owns the channel; null until there are accounts. */
  owner: string | null
  name: string
  title: string
  description: string
  topic: string | null
  cover_path: string | null
  record: number
  replay_title: string | null
  chat_enabled: number
  protected: number
  max_viewers: number | null
  views: Generated<number>
  /** Cost of its last broadcast, for placing the next one. */
  last_cost: number | null
  /** Since when nobody may publish to it, by the operator's word. */
  banned_at: Generated<number | null>
  created_at: number
}

export interface TopicTable {
  id: string
  name: string
  created_at: number
}

export interface StreamKeyTable {
  id: string
  channel_id: string
  label: string
  /** Lower-case hex SHA-256 of the key; the key itself is nowhere. */
  digest: string
  /** The key encrypted under the cluster secret, where the operator wants that. */
  sealed: Uint8Array | null
  created_at: number
  expires_at: number | null
  revoked_at: number | null
  last_used_at: number | null
}

export interface BroadcastTable {
  id: string
  /** Opens the public names of its takes. */
  tag: string
  channel_id: string
  live_id: string
  title: string
  topic: string | null
  started_at: number
  ended_at: number | null
  end_reason: string | null
  takes: Generated<number>
  current_viewers: Generated<number>
  peak_viewers: Generated<number>
  total_viewers: Generated<number>
}

export interface RecordingTable {
  id: string
  channel_id: string | null
  live_id: string
  broadcast_id: string
  title: string
  transcoder: string
  started_at: number
  duration_ms: number
  size_bytes: number
  renditions: string
  updated_at: number
  /** Set when an operator deleted it; the row goes when the transcoder has deleted the files. */
  deleted_at: number | null
}

/** One row per live id, for ever: the epoch must never fall, also when the channel is made anew. */
export interface LeaseTable {
  live_id: string
  epoch: number
  channel_id: string | null
  /** Null between broadcasts. */
  broadcast_id: string | null
  transcoder: string | null
  instance: string | null
  nonce: string | null
  /** The publisher's connection that was let in last, and the try upstream of its relay that was. */
  connection: string | null
  attempt: number | null
  /** Under which the connection was let in; an older one than the row's where it has moved since. */
  connection_epoch: number | null
  /** JSON of the connections that had the channel before it in this broadcast, oldest first. */
  replaced: string | null
  /** JSON of the bindings that were placed since and have not been let in, oldest first. */
  waiting: string | null
  gateway: string | null
  pop: string | null
  client_address: string | null
  /** `starting` until the transcoder has renewed for the first time. */
  state: 'starting' | 'live' | 'held'
  cost: number
  stop: number
  expires_at: number
  /** JSON of video, audio, renditions and findings, as the transcoder reports them. */
  facts: string | null
}

/** What was known of each node when it last changed, so that a restarted coordinator knows its cluster. */
export interface NodeTable {
  id: string
  heartbeat: string
}

/** Nodes that the operator has taken out of service, here or not. */
export interface DrainedNodeTable {
  id: string
  since: number
  /** What it carried when the drain began. */
  streams: number
}

export interface AccessTokenTable {
  digest: string
  kind: 'code' | 'session'
  expires_at: number
}

export interface Tables {
  channels: ChannelTable
  topics: TopicTable
  stream_keys: StreamKeyTable
  broadcasts: BroadcastTable
  recordings: RecordingTable
  leases: LeaseTable
  nodes: NodeTable
  drained_nodes: DrainedNodeTable
  access_tokens: AccessTokenTable
}
