// One wait upstream, no wait too long, no version without what was asked for, and never back: whoever asks for what, in
// whatever order, and whatever upstream does.
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { CacheObject } from '../../../../common/cache/cache-object.ts'
import { reloadAnswer } from '../../../../common/cache/live/hold-rules.ts'
import { LiveMetrics } from '../../../../common/cache/live/live-metrics.ts'
import { LiveRendition } from '../../../../common/cache/live/live-rendition.ts'
import { liveMediaPlaylist, reloadState } from '../../../../common/live/hls-live.ts'
import { Metrics } from '../../../../common/metrics.ts'
import {
  type MediaPlaylistFacts,
  readMediaPlaylist,
} from '../../../../media/hls/playlist-reader.ts'
import { FakeClock } from '../../../support/fake-clock.ts'
import { ScriptedBroadcast } from '../../../support/scripted-broadcast.ts'
import { targetAt, UpstreamScript } from '../../../support/upstream-script.ts'

type Step =
  | { do: 'ask'; segments?: number; part?: number; skip: boolean }
  | { do: 'leave'; reader: number }
  | { do: 'part' | 'answer' }
  | { do: 'fail' | 'cut' | 'behind'; question: number }
  | { do: 'pass'; ms: number }

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('ask' as const),
      segments: fc.integer({ min: -2, max: 3 }),
      part: fc.nat(8),
      skip: fc.boolean(),
    }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('ask' as const), skip: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('leave' as const), reader: fc.nat(9) }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('part' as const) }) },
  { weight: 5, arbitrary: fc.record({ do: fc.constant('answer' as const) }) },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constantFrom('fail' as const, 'cut' as const, 'behind' as const),
      question: fc.nat(1),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('pass' as const),
      ms: fc.constantFrom(10, 300, 1_000, 4_000),
    }),
  },
)

interface Viewer {
  object: CacheObject
  position: { msn: number; part: number } | undefined
  since: number
  isSettled: boolean
  leave: () => void
}

class Stage {
  readonly clock = new FakeClock()
  readonly broadcast = new ScriptedBroadcast({ settings: { windowSegments: 16 } })
  readonly upstream = new UpstreamScript(this.clock)
  readonly rendition = new LiveRendition({
    target: targetAt(),
    io: this.upstream,
    clock: this.clock,
    metrics: new LiveMetrics(new Metrics('edge', 'pop-1', '0'), () => ({
      renditions: 0,
      waits: 0,
      held: 0,
    })),
  })
  readonly viewers: Viewer[] = []
  readonly versions: string[] = []
  outcomes = { versions: 0, stale: 0, refused: 0, held: 0 }
  #served: MediaPlaylistFacts | undefined

  constructor() {
    this.broadcast.beginTake()
    this.broadcast.addSegments(14)
    this.#publish()
  }

  async run(next: Step): Promise<void> {
    const { broadcast, upstream } = this
    switch (next.do) {
      case 'ask':
        this.#ask(next)
        break
      case 'leave':
        this.viewers[next.reader % this.viewers.length]?.leave()
        break
      case 'part': {
        const open = broadcast.playlist('720p')!.segments.at(-1)!
        broadcast.change(() => {
          broadcast.addPart('720p')
          if (open.isOpen && open.parts.length >= 4) broadcast.closeSegments()
        })
        this.#publish()
        break
      }
      case 'answer':
        for (const question of [...upstream.open]) {
          const position = positionOf(question.target.key)
          const state = position ? reloadState(broadcast, '720p', position) : 'ready'
          if (state === 'ready') question.answer(200, this.versions.at(-1)!)
          else if (state === 'too-far') question.answer(400, '{}')
        }
        break
      case 'behind':
        upstream.open[next.question]?.answer(200, this.versions.at(-4) ?? this.versions[0]!)
        break
      case 'fail':
        upstream.open[next.question]?.answer(503, '{}')
        break
      case 'cut':
        upstream.open[next.question]?.cut()
        break
      case 'pass':
        await this.clock.advance(next.ms)
    }
    this.check()
  }

  check(): void {
    expect(this.upstream.waits.length).toBeLessThanOrEqual(1)
    expect(this.upstream.refreshes.length).toBeLessThanOrEqual(1)
    const now = this.clock.monotonic()
    for (const viewer of this.viewers) {
      if (viewer.isSettled) continue
      if (viewer.object.state === 'waiting') expect(now - viewer.since).toBeLessThan(9_000)
      else this.#settle(viewer)
    }
  }

  #publish(): void {
    this.versions.push(liveMediaPlaylist(this.broadcast, '720p')!)
  }

  #ask({ segments, part, skip }: Step & { do: 'ask' }): void {
    const newest = readMediaPlaylist(this.versions.at(-1)!)!.lastNumber
    const position =
      segments === undefined ? undefined : { msn: newest + segments, part: part ?? 0 }
    const query = [
      position && `_HLS_msn=${position.msn}&_HLS_part=${position.part}`,
      skip && '_HLS_skip=v2',
    ].filter(Boolean)
    const opened = this.rendition.open(targetAt(query.join('&')))
    expect(opened).not.toBe('opaque')
    if (!opened || opened === 'opaque') return
    const { object } = opened
    const viewer: Viewer = {
      object,
      position,
      since: this.clock.monotonic(),
      isSettled: false,
      leave: () => {},
    }
    if (object.state === 'waiting') {
      this.outcomes.held++
      const stop = object.follow(() => this.#settle(viewer))
      viewer.leave = () => {
        viewer.isSettled = true
        stop()
      }
    }
    this.viewers.push(viewer)
    if (object.state !== 'waiting') this.#settle(viewer)
  }

  /** What a viewer gets is judged at the moment that it gets it. */
  #settle(viewer: Viewer): void {
    if (viewer.isSettled) return
    viewer.isSettled = true
    const { object, position } = viewer
    const instead = object.substitute?.object
    const answer = instead ?? object
    expect(answer.state).toBe('complete')
    if (answer.head!.status !== 200) {
      this.outcomes.refused++
      expect([400, 503]).toContain(answer.head!.status)
      return
    }
    this.outcomes[instead ? 'stale' : 'versions']++
    const text = answer.slice(0, answer.size).toString()
    const whole = this.versions.find((it) => it === text || endOf(it) === endOf(text))!
    const facts = readMediaPlaylist(whole)!
    // Those who were told to take what there is had a version that held their position.
    if (position) expect(reloadAnswer(facts, position)).toBe('ready')
    const served = this.#served
    if (served) {
      expect(facts.mediaSequence).toBeGreaterThanOrEqual(served.mediaSequence)
      const before = [served.lastNumber, served.openParts] as const
      const isBack =
        facts.lastNumber < before[0] ||
        (facts.lastNumber === before[0] && facts.openParts < before[1])
      expect(isBack).toBe(false)
    }
    this.#served = facts
  }
}

/** A delta differs from its playlist at the beginning only. */
function endOf(text: string): string {
  return text.slice(-400)
}

function positionOf(key: string): { msn: number; part?: number } | undefined {
  const match = /_HLS_msn=(\d+)(?:&_HLS_part=(\d+))?/.exec(key)
  if (!match) return undefined
  return { msn: Number(match[1]), ...(match[2] !== undefined && { part: Number(match[2]) }) }
}

describe('LiveRendition', () => {
  it('keeps its promises for any order of questions, versions, failures and time', async () => {
    const seen = { versions: 0, stale: 0, refused: 0, held: 0 }
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 80, size: 'max' }), async (steps) => {
        const stage = new Stage()
        for (const next of steps) await stage.run(next)
        // Upstream says nothing any more, and nobody asks.
        for (let passed = 0; passed < 20_000; passed += 500) {
          await stage.clock.advance(500)
          stage.check()
        }
        expect(stage.viewers.every(({ isSettled }) => isSettled)).toBe(true)
        expect(stage.upstream.waits).toEqual([])
        expect(stage.rendition.isWaiting).toBe(false)
        stage.rendition.end()
        expect(stage.clock.pending).toBe(0)
        for (const outcome of ['versions', 'stale', 'refused', 'held'] as const) {
          seen[outcome] += stage.outcomes[outcome]
        }
      }),
      { numRuns: 120 },
    )
    for (const count of Object.values(seen)) expect(count).toBeGreaterThan(0)
  })
})
