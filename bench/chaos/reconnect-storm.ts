// Fault F22: publishers who all lose their connection and come back within one second.
import { readFileSync } from 'node:fs'
import { inBatches } from '../../test/support/hostile-peer.ts'
import { NumberedPublisher } from '../../test/support/numbered-publisher.ts'
import type { TakeoverStage } from '../../test/support/takeover-stage.ts'
import { until } from '../../test/support/until.ts'
import type { Fault, Strike } from './fault.ts'

const withinMs = 1_000
const dialsAtOnce = 10
const backLimitMs = 60_000
/** Little of everything: what is tried is connections. */
const media = { size: '160x90', framesPerSecond: 10, sampleRate: 16_000 }
/** Who is turned away tries again, as OBS does. */
const reconnectAfterMs = 2_000

const streamsPerTranscoder = 32

export function reconnectStorm(publishers: number): Fault {
  const transcoders = Math.ceil((publishers + 1) / streamsPerTranscoder)
  return {
    id: 'F22',
    name: `${publishers} publishers back within 1 s`,
    // The source alone: so many ladders are another test.
    stage: { pops: 2, transcoders, gateways: 2, args: ['--ladder', 'passthrough'] },
    needsOwnStage: true,
    allowedDisconnects: 0,
    goalTimesMs: { 'all back': 15_000 },
    mayLose: false,
    strike: (stage) => strike(stage, publishers),
  }
}

async function strike({ cluster }: TakeoverStage, publisherCount: number): Promise<Strike> {
  const { edges, caFile } = cluster.facts
  const ca = readFileSync(caFile)
  await using stack = new AsyncDisposableStack()
  const crowd: NumberedPublisher[] = []
  const names = Array.from({ length: publisherCount }, (_, i) => `storm-${i}`)
  await inBatches(names, dialsAtOnce, async (liveId) => {
    const { streamKey } = await cluster.api<{ streamKey: string }>('POST', '/api/v1/channels', {
      liveId,
    })
    const servers = [edges[0]!.rtmps]
    const publisher = await NumberedPublisher.start({
      servers,
      streamKey,
      ca,
      reconnectAfterMs,
      ...media,
    })
    crowd.push(stack.use(publisher))
  })
  const struckAtMs = performance.now()
  for (const [i, publisher] of crowd.entries()) {
    setTimeout(() => publisher.comeBack(), (i * withinMs) / publisherCount)
  }
  await until('all to be back', () => crowd.every((it) => it.startedAtMs.length > 1), backLimitMs)
  const backMs = Math.max(...crowd.map((it) => it.startedAtMs.at(-1)!)) - struckAtMs
  const owned = stack.move()
  const heal = async () => {
    const lost = crowd.filter(({ disconnects }) => disconnects > 0).length
    await owned.disposeAsync()
    if (lost > 0) throw new Error(`${lost} of ${publisherCount} lost their connection`)
  }
  return { struckAtMs, times: { 'all back': backMs }, heal }
}
