// A node's tie to the cluster: it sends heartbeats and follows the snapshots that the coordinator pushes.
//
// Two loops that fail apart. Heartbeats go out on a fixed beat. The event stream is opened, read until it
// ends or falls silent, and opened again after a pause that doubles. Neither ever throws away what is known:
// with the coordinator gone the last snapshot stays, in memory and on disk, and a node starts from the file.
import { join } from 'node:path'
import { type Clock, delay, type Timer } from '../clock.ts'
import {
  type ClusterSnapshot,
  clusterSnapshotSchema,
  type Heartbeat,
  type HeartbeatAnswer,
} from '../contract/membership.ts'
import { messageOf } from '../errors.ts'
import type { HttpResponse } from '../http-client.ts'
import type { Logger } from '../log.ts'
import type { CoordinatorClient } from './coordinator-client.ts'
import { EventStreamParser } from './event-stream.ts'
import { SnapshotFile } from './snapshot-file.ts'

export const snapshotFileName = 'cluster-snapshot.json'

const defaultIntervalMs = 2_000
const firstPauseMs = 250
const longestPauseMs = 5_000
// The coordinator sends a comment every 5 s; two of them missing means that the path is dead.
const silenceMs = 12_000
const clockSkewWarningMs = 5_000
const leaveTimeoutMs = 1_000

const emptySnapshot: ClusterSnapshot = { generation: 0, nodes: [], routes: [] }

export interface MembershipAgentOptions {
  client: CoordinatorClient
  clock: Clock
  log: Logger
  dataDir: string
  /** Read at every beat. */
  heartbeat: () => Heartbeat
  intervalMs?: number
  /** Sees each answer to a heartbeat, which may carry work for this node. */
  onAnswer?: (answer: HeartbeatAnswer) => void
}

export class MembershipAgent implements AsyncDisposable {
  readonly #client: CoordinatorClient
  readonly #clock: Clock
  readonly #log: Logger
  readonly #heartbeat: () => Heartbeat
  readonly #intervalMs: number
  readonly #onAnswer: (answer: HeartbeatAnswer) => void
  readonly #file: SnapshotFile<ClusterSnapshot>
  readonly #stop = new AbortController()
  readonly #listeners = new Set<(snapshot: ClusterSnapshot) => void>()
  #snapshot = emptySnapshot
  #known = false
  #stored = ''
  #connected = false
  #beatFailing = false
  #skewWarned = false
  #beating: Promise<void> | undefined
  #beatAgain = false
  #beatTimer: Timer | undefined
  #following: Promise<void> | undefined
  /** Another process has this node's id. */
  #isHandedOver = false

  constructor(options: MembershipAgentOptions) {
    this.#client = options.client
    this.#clock = options.clock
    this.#log = options.log
    this.#heartbeat = options.heartbeat
    this.#intervalMs = options.intervalMs ?? defaultIntervalMs
    this.#onAnswer = options.onAnswer ?? (() => {})
    const file = join(options.dataDir, snapshotFileName)
    this.#file = new SnapshotFile(file, clusterSnapshotSchema, options.log)
  }

  /** What is known of the cluster; empty (generation 0) before anything is. */
  get snapshot(): ClusterSnapshot {
    return this.#snapshot
  }

  /** True once a snapshot was pushed by the coordinator or read from the file. */
  get known(): boolean {
    return this.#known
  }

  /** True while snapshots are being pushed to us. */
  get connected(): boolean {
    return this.#connected
  }

  /** For readiness: a node may serve from a stored snapshot while the coordinator is away. */
  get check(): { name: string; ok: boolean; detail: string } {
    const detail = this.#connected ? 'connected' : 'coordinator away'
    return { name: 'cluster', ok: this.#known, detail }
  }

  /** Calls back on every new snapshot; the answer ends that. */
  onSnapshot(listener: (snapshot: ClusterSnapshot) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Resolves when the stored snapshot is read and one heartbeat was tried, whether or not it arrived. */
  async start(): Promise<void> {
    await this.#readStored()
    await this.startBeats()
    this.#following = this.#follow()
  }

  /** As `start`, but without heartbeats: another process has this node's id, until `startBeats`. */
  async follow(): Promise<void> {
    await this.#readStored()
    this.#following = this.#follow()
  }

  /** Resolves when one was tried. */
  startBeats(): Promise<void> {
    this.#beatTimer = this.#clock.setInterval(() => void this.beat(), this.#intervalMs)
    return this.beat()
  }

  /**
   * Another process has this node's id from now on: no heartbeat after this, and no goodbye. Resolves when none is
   * under way; snapshots go on coming.
   */
  async handOver(): Promise<void> {
    this.#isHandedOver = true
    this.#beatTimer?.cancel()
    this.#beatTimer = undefined
    await Promise.race([this.#beating, delay(this.#clock, leaveTimeoutMs)])
  }

  async #readStored(): Promise<void> {
    const stored = await this.#file.read()
    if (stored) this.#adopt(stored)
  }

  /** Sends a heartbeat now: after a change that should not wait, such as the start of a drain. */
  beat(): Promise<void> {
    if (this.#stop.signal.aborted || !this.#beatTimer) return Promise.resolve()
    if (this.#beating) this.#beatAgain = true
    this.#beating ??= this.#sendBeats().finally(() => {
      this.#beating = undefined
    })
    return this.#beating
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#stop.signal.aborted) return
    this.#stop.abort()
    this.#beatTimer?.cancel()
    this.#listeners.clear()
    await this.#following
    // A heartbeat that arrives after the goodbye would bring the node back.
    await this.#beating
    if (!this.#isHandedOver && this.#beatTimer) {
      await Promise.race([this.#client.leave(), delay(this.#clock, leaveTimeoutMs)])
    }
    await this.#file.settled()
  }

  async #sendBeats(): Promise<void> {
    do {
      this.#beatAgain = false
      await this.#sendBeat()
    } while (this.#beatAgain && this.#beatTimer && !this.#stop.signal.aborted)
  }

  async #sendBeat(): Promise<void> {
    const result = await this.#client.heartbeat(this.#heartbeat())
    if ('error' in result) {
      if (!this.#beatFailing) this.#log.warn({ error: result.error }, 'heartbeat failed')
      this.#beatFailing = true
      return
    }
    if (this.#beatFailing) this.#log.info('heartbeats arrive again')
    this.#beatFailing = false
    this.#warnOfSkew(result.answer.now)
    this.#onAnswer(result.answer)
  }

  #warnOfSkew(coordinatorNow: number): void {
    const skewMs = Math.round(this.#clock.now() - coordinatorNow)
    const isLarge = Math.abs(skewMs) > clockSkewWarningMs
    if (isLarge && !this.#skewWarned) {
      this.#log.warn({ skewMs }, 'the clocks of this node and the coordinator differ')
    }
    this.#skewWarned = isLarge
  }

  async #follow(): Promise<void> {
    let pauseMs = firstPauseMs
    while (!this.#stop.signal.aborted) {
      const outcome = await this.#followOnce()
      if (this.#stop.signal.aborted) return
      if (outcome.received) pauseMs = firstPauseMs
      this.#log.warn({ reason: outcome.reason }, 'no news from the coordinator; trying again')
      // Spread, so that a restarted coordinator does not meet all its nodes in the same moment.
      await delay(this.#clock, pauseMs * (0.5 + Math.random()), this.#stop.signal)
      pauseMs = Math.min(pauseMs * 2, longestPauseMs)
      // A coordinator that has just come back knows this node again before it pushes to it.
      await this.beat()
    }
  }

  async #followOnce(): Promise<{ received: boolean; reason: string }> {
    const abort = new AbortController()
    const signal = AbortSignal.any([abort.signal, this.#stop.signal])
    const opened = await this.#client.openEvents(signal)
    if ('error' in opened) return { received: false, reason: opened.error }
    try {
      return await this.#readEvents(opened.body, abort)
    } finally {
      this.#connected = false
      opened.body.destroy()
    }
  }

  async #readEvents(
    body: HttpResponse['body'],
    abort: AbortController,
  ): Promise<{ received: boolean; reason: string }> {
    const parser = new EventStreamParser()
    let received = false
    let reason = 'the event stream ended'
    const onSilence = () => {
      reason = 'the event stream fell silent'
      abort.abort()
    }
    let silence = this.#clock.setTimeout(onSilence, silenceMs)
    try {
      for await (const piece of body) {
        silence.cancel()
        silence = this.#clock.setTimeout(onSilence, silenceMs)
        const events = parser.push(piece)
        if (!events) return { received, reason: 'an event was too large' }
        for (const { event, data } of events) {
          if (event !== 'snapshot') continue
          const snapshot = clusterSnapshotSchema.parse(JSON.parse(data))
          received = true
          this.#connected = true
          this.#adopt(snapshot)
          this.#store(snapshot)
        }
      }
    } catch (err) {
      if (!abort.signal.aborted) reason = messageOf(err)
    } finally {
      silence.cancel()
    }
    return { received, reason }
  }

  // Load figures alone, which change all the time, are not worth a disk's work.
  #store(snapshot: ClusterSnapshot): void {
    const nodes = snapshot.nodes.map(({ load: _load, ...standing }) => standing)
    const standing = JSON.stringify({ nodes, routes: snapshot.routes })
    if (standing === this.#stored) return
    this.#stored = standing
    this.#file.write(snapshot)
  }

  #adopt(snapshot: ClusterSnapshot): void {
    this.#snapshot = snapshot
    this.#known = true
    for (const listener of this.#listeners) {
      try {
        listener(snapshot)
      } catch (err) {
        this.#log.error({ err }, 'a follower of the cluster snapshot failed')
      }
    }
  }
}
