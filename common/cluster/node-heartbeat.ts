// The part of a heartbeat that is the same for every role: who the node is, how busy its machine is.
import { randomUUID } from 'node:crypto'
import type { Clock } from '../clock.ts'
import type { Heartbeat, NodeUrls, Role } from '../contract/membership.ts'
import { version } from '../version.ts'
import { MachineLoad } from './machine-load.ts'

export interface NodeIdentitySettings {
  region: string | null
  latitude: number | null
  longitude: number | null
  weight: number
}

/** What a role adds at each beat; the byte counters are totals since the start of the process. */
export interface HeartbeatParts {
  urls: NodeUrls
  draining: boolean
  streams: number
  bytesIn: number
  bytesOut: number
  /** Where the counters are read at other times than the beat's; else it takes them from those. */
  rates?: Pick<Heartbeat['load'], 'bitsInPerSecond' | 'bitsOutPerSecond'>
  cost?: number
  viewers?: Heartbeat['viewers']
}

export class NodeHeartbeat {
  /** New with every start of the process. */
  readonly instance = randomUUID()
  readonly #role: Role
  readonly #settings: NodeIdentitySettings
  readonly #clock: Clock
  readonly #machine = new MachineLoad()
  #last: { atMs: number; bytesIn: number; bytesOut: number }

  constructor(role: Role, settings: NodeIdentitySettings, clock: Clock) {
    this.#role = role
    this.#settings = settings
    this.#clock = clock
    this.#last = { atMs: clock.monotonic(), bytesIn: 0, bytesOut: 0 }
  }

  /** Rates are over the time since the last beat. */
  beat(parts: HeartbeatParts): Heartbeat {
    const viewers = parts.viewers ?? []
    return {
      role: this.#role,
      instance: this.instance,
      version,
      pid: process.pid,
      region: this.#settings.region,
      latitude: this.#settings.latitude,
      longitude: this.#settings.longitude,
      weight: this.#settings.weight,
      draining: parts.draining,
      urls: parts.urls,
      load: {
        ...(parts.rates ?? this.#rates(parts)),
        cpu: this.#machine.busyShare(),
        memoryBytes: this.#machine.memoryBytes(),
        streams: parts.streams,
        cost: parts.cost ?? 0,
        viewers: viewers.reduce((sum, { current }) => sum + current, 0),
      },
      viewers,
    }
  }

  #rates({ bytesIn, bytesOut }: HeartbeatParts) {
    const now = { atMs: this.#clock.monotonic(), bytesIn, bytesOut }
    const last = this.#last
    this.#last = now
    const seconds = Math.max(0.001, (now.atMs - last.atMs) / 1000)
    return {
      bitsInPerSecond: (8 * Math.max(0, bytesIn - last.bytesIn)) / seconds,
      bitsOutPerSecond: (8 * Math.max(0, bytesOut - last.bytesOut)) / seconds,
    }
  }
}
