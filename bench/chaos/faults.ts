// The faults that `npm run chaos` strikes with. Each hits a live stream at a moment of chance and heals what it hurt.
import { readFileSync } from 'node:fs'
import { FrozenTree } from '../../test/support/frozen-tree.ts'
import { NumberedPublisher } from '../../test/support/numbered-publisher.ts'
import { descendantsOf, isEncoder } from '../../test/support/processes.ts'
import type { TakeoverStage } from '../../test/support/takeover-stage.ts'
import { until } from '../../test/support/until.ts'
import { edgeFrozen, edgeOutOfDescriptors } from './edge-strikes.ts'
import type { Fault, Strike } from './fault.ts'
import { rollingUpgrade, viewerPopKilled } from './pop-strikes.ts'
import { ProxiedTranscoders } from './proxied-transcoder.ts'
import { reconnectStorm } from './reconnect-storm.ts'
import { edgeCutOff, roadBrownOut } from './road-strikes.ts'
import { isBack, kill, killHolder } from './strikes.ts'

const obsRetryMs = 2_000
const freezeMs = 6_000
const coordinatorAwayMs = 300_000
/** The newest connection that proves the key has the channel so soon. */
const takeoverMs = 1_000
const size = '1280x720'
const nothing = async () => {}

export const faults: readonly Fault[] = [
  viewerPopKilled,
  edgeFrozen,
  {
    id: 'F3',
    name: 'POP killed',
    stage: { pops: 3, transcoders: 2, gateways: 2, size, reconnectAfterMs: obsRetryMs },
    allowedDisconnects: 1,
    goalTimesMs: { 'publishing again': 4_000 },
    mayLose: true,
    async strike({ cluster, publisher }) {
      const edge = cluster.facts.edges.find(({ rtmps }) => rtmps === publisher.server)!
      const starts = publisher.startedAtMs.length
      const struckAtMs = kill(edge.pid)
      await until('the publisher to be back', () => publisher.startedAtMs.length > starts)
      const times = { 'publishing again': publisher.startedAtMs.at(-1)! - struckAtMs }
      return { struckAtMs, times, heal: () => isBack(cluster, edge) }
    },
  },
  {
    id: 'F4',
    name: 'gateway killed',
    stage: { pops: 2, gateways: 2, size },
    allowedDisconnects: 0,
    mayLose: false,
    strike: (stage) => killHolder(stage, 'gateways'),
  },
  {
    id: 'F5',
    name: 'transcoder killed',
    stage: { pops: 2, transcoders: 2, size },
    allowedDisconnects: 0,
    goalMs: { median: 4_000, p99: 6_000 },
    mayLose: false,
    strike: (stage) => killHolder(stage, 'transcoders'),
  },
  {
    id: 'F6',
    name: 'transcoder frozen for 6 s',
    stage: { pops: 2, transcoders: 2, size },
    allowedDisconnects: 0,
    mayLose: false,
    async strike(stage) {
      const { pid } = await stage.holder('transcoders')
      const struckAtMs = performance.now()
      const frozen = FrozenTree.freeze(pid)
      const thawed = passing(freezeMs).then(() => frozen.thaw())
      return { struckAtMs, heal: () => thawed }
    },
  },
  {
    id: 'F7',
    name: 'ffmpeg killed',
    stage: { pops: 2, size },
    // The third within a minute is another fault: the input is to blame then, and is refused.
    needsOwnStage: true,
    allowedDisconnects: 0,
    goalMs: { p99: 3_000 },
    mayLose: false,
    async strike(stage) {
      const { pid } = await stage.holder('transcoders')
      const encoder = await until('an ffmpeg', () => descendantsOf(pid).find(isEncoder))
      return { struckAtMs: kill(encoder.pid), heal: nothing }
    },
  },
  {
    id: 'F9',
    name: 'coordinator away for 5 min and started anew, a reconnect inside',
    stage: { pops: 2, transcoders: 2, gateways: 2, size: '640x360' },
    allowedDisconnects: 0,
    mayLose: true,
    strike: coordinatorAway,
  },
  {
    id: 'F13',
    name: 'gateway and transcoder parted',
    stage: {
      pops: 2,
      transcoders: 2,
      size,
      prepare: (cluster) => ProxiedTranscoders.start(cluster),
    },
    allowedDisconnects: 0,
    goalMs: { p99: 6_000 },
    mayLose: false,
    strike: partition,
  },
  edgeCutOff,
  roadBrownOut,
  edgeOutOfDescriptors,
  {
    id: 'F21',
    name: 'publisher half-open, back with the same key, then nobody',
    stage: { pops: 2, size: '640x360' },
    needsOwnStage: true,
    allowedDisconnects: 1,
    goalTimesMs: { 'let in': takeoverMs, 'older gone': takeoverMs, 'silent one gone': 10_000 },
    mayLose: true,
    async strike(stage) {
      stage.publisher.fallSilent()
      const { second, ...strike } = await secondPublisher(stage)
      const heal = async () => {
        // This one comes back to nobody: only its silence tells.
        second.fallSilent()
        const silentAtMs = performance.now()
        await until('the silent one to be gone', () => second.disconnects > 0)
        strike.times['silent one gone'] = performance.now() - silentAtMs
        await strike.heal()
      }
      return { ...strike, heal }
    },
  },
  reconnectStorm(100),
  {
    id: 'F23',
    name: 'one key published twice',
    stage: { pops: 2, size: '640x360' },
    needsOwnStage: true,
    allowedDisconnects: 1,
    goalTimesMs: { 'let in': takeoverMs, 'older gone': takeoverMs },
    mayLose: true,
    strike: secondPublisher,
  },
  rollingUpgrade,
]

function passing(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

/** Stopped, it neither answers nor refuses; then it is killed, and `up` starts another one over the same database. */
async function coordinatorAway(stage: TakeoverStage): Promise<Strike> {
  const { cluster, publisher } = stage
  const { pid } = cluster.facts.coordinator
  const before = await stage.stream()
  const awaySinceMs = performance.now()
  FrozenTree.freeze(pid)
  await passing(coordinatorAwayMs / 2)
  const starts = publisher.startedAtMs.length
  const struckAtMs = performance.now()
  publisher.comeBack()
  await until('the publish', () => publisher.startedAtMs.length > starts)
  const times = { 'let in again': publisher.startedAtMs.at(-1)! - struckAtMs }
  return {
    struckAtMs,
    times,
    async heal() {
      await passing(coordinatorAwayMs - (performance.now() - awaySinceMs))
      kill(pid)
      const after = await until('the stream to be known', () => stage.stream())
      const { epoch, broadcastId, transcoder } = after
      const isSame = epoch === before.epoch && transcoder.id === before.transcoder.id
      if (!isSame || broadcastId !== before.broadcastId) throw new Error('another lease')
    },
  }
}

/** Numbers of the second publisher: none of the first's. */
const secondNumbers = 1_000_000

/** A newer connection with the same key; the older one must learn of it. */
async function secondPublisher({ cluster, publisher }: TakeoverStage) {
  const { edges, channels, caFile } = cluster.facts
  const struckAtMs = performance.now()
  const second = await NumberedPublisher.start({
    servers: [edges.at(-1)!.rtmps],
    streamKey: channels[0]!.streamKey,
    ca: readFileSync(caFile),
    size: '640x360',
    firstNumber: secondNumbers,
  })
  const letInMs = second.startedAtMs[0]! - struckAtMs
  await until('the older to be gone', () => publisher.disconnects > 0)
  const times: Record<string, number> = {
    'let in': letInMs,
    'older gone': performance.now() - struckAtMs,
  }
  const heal = () => second[Symbol.asyncDispose]()
  return { struckAtMs, times, alsoSent: second.sent, second, heal }
}

async function partition(stage: TakeoverStage): Promise<Strike> {
  const { transcoder } = await stage.stream()
  const proxies = stage.prepared as ProxiedTranscoders
  const struckAtMs = performance.now()
  proxies.obey(transcoder.id, { kind: 'black-hole', directions: ['up', 'down'] })
  return { struckAtMs, heal: async () => proxies.obey(transcoder.id, { kind: 'pass' }) }
}
