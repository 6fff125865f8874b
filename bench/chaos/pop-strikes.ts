// Faults of POPs as their viewers see them: one that is killed, and a rolling upgrade of all.
import { readFileSync } from 'node:fs'
import { EdgeUpgrades } from '../../test/support/edge-upgrade.ts'
import { RequestStorm } from '../../test/support/request-storm.ts'
import type { TakeoverStage } from '../../test/support/takeover-stage.ts'
import { until } from '../../test/support/until.ts'
import type { Fault, Strike } from './fault.ts'
import { isBack, kill } from './strikes.ts'

const obsRetryMs = 2_000
const pollMs = 100
const publisherLimitMs = 1_000
const size = '640x360'
/** So few and slow that what they watch can go on beside them on a small machine. */
const calmStorm = { viewers: { plain: 8, tls: 2, kept: 8, http2: 4 }, pauseMs: 25 }

export const viewerPopKilled: Fault = {
  id: 'F1',
  name: 'POP of viewers killed',
  stage: { pops: 3, size },
  allowedDisconnects: 0,
  goalTimesMs: { 'viewer without an answer': 3_000, 'serving again': 2_000 },
  mayLose: false,
  async strike({ cluster }) {
    const [, struck, other] = cluster.facts.edges
    const { liveId } = cluster.facts.channels[0]!
    await using viewer = new TwoPopViewer([struck!.http, other!.http], `/live/${liveId}/index.m3u8`)
    await until('a viewer', () => viewer.answers > 3)
    const struckAtMs = kill(struck!.pid)
    await isBack(cluster, struck!)
    const times: Record<string, number> = { 'serving again': performance.now() - struckAtMs }
    const { answers } = viewer
    await until('the viewer', () => viewer.answers > answers + 3)
    times['viewer without an answer'] = viewer.longestGapMs
    return { struckAtMs, times, heal: async () => {} }
  },
}

export const rollingUpgrade: Fault = {
  id: 'F29',
  name: 'all POPs upgraded, one after the other',
  stage: {
    pops: 2,
    size,
    reconnectAfterMs: obsRetryMs,
    prepare: async (cluster) => new EdgeUpgrades(cluster),
  },
  // The processes that `up` has started are gone after it.
  needsOwnStage: true,
  allowedDisconnects: 1,
  goalTimesMs: { 'publisher away': 4_000 },
  mayLose: true,
  strike: upgradeAll,
}

async function upgradeAll({ cluster, publisher, prepared }: TakeoverStage): Promise<Strike> {
  const upgrades = prepared as EdgeUpgrades
  const { edges, channels, caFile } = cluster.facts
  const [published, watched] = edges
  const starts = publisher.startedAtMs.length
  const storms = edges.map(({ http, https }) => {
    return new RequestStorm({
      host: '127.0.0.1',
      httpPort: Number(new URL(http).port),
      tlsPort: Number(new URL(https).port),
      ca: readFileSync(caFile),
      path: `/live/${channels[0]!.liveId}/index.m3u8`,
      ...calmStorm,
    })
  })
  const struckAtMs = performance.now()
  try {
    const watchedLeft = await upgrades.upgrade(watched!)
    await upgrades.limitPublishers(published!, publisherLimitMs)
    const publishedLeft = await upgrades.upgrade(published!)
    await until('the publisher to be back', () => publisher.startedAtMs.length > starts)
    await Promise.all([watchedLeft(), publishedLeft()])
  } finally {
    await Promise.all(storms.map((storm) => storm.stop()))
  }
  const failures = storms.flatMap((storm) => storm.failures)
  if (failures.length > 0) {
    const setting = readFileSync('/proc/sys/net/ipv4/tcp_migrate_req', 'utf8').trim()
    throw new Error(`requests failed (tcp_migrate_req is ${setting}): ${failures.join(', ')}`)
  }
  const backAtMs = publisher.startedAtMs.at(-1)!
  const lastSent = publisher.sent.findLast(({ sentAtMs }) => sentAtMs < backAtMs)!
  const times = { 'publisher away': backAtMs - lastSent.sentAtMs }
  return { struckAtMs, times, heal: async () => {} }
}

/** Asks for a playlist all the time, at another POP when one does not answer. */
class TwoPopViewer implements AsyncDisposable {
  answers = 0
  longestGapMs = 0
  readonly #running: Promise<void>
  #isOver = false

  constructor(pops: readonly string[], path: string) {
    this.#running = this.#watch(pops, path)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isOver = true
    await this.#running
  }

  async #watch(pops: readonly string[], path: string): Promise<void> {
    let answeredAtMs = performance.now()
    for (let turn = 0; !this.#isOver; ) {
      const isAnswered = await fetch(`${pops[turn % pops.length]}${path}`).then(
        async (answer) => answer.ok && (await answer.text()).includes('#EXTM3U'),
        () => false,
      )
      if (isAnswered) {
        const now = performance.now()
        this.longestGapMs = Math.max(this.longestGapMs, now - answeredAtMs)
        answeredAtMs = now
        this.answers++
        await new Promise((resolve) => setTimeout(resolve, pollMs))
      } else turn++
    }
  }
}
