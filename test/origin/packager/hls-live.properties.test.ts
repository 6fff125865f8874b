import fc from 'fast-check'
import { expect, test } from 'vitest'
import { liveMediaPlaylist, reloadState } from '../../../common/live/hls-live.ts'
import type { LoggedRendition } from '../../../common/live/segment-log.ts'
import { readLivePlaylist } from '../../support/hls-text.ts'
import { watchPlaylists } from '../../support/playlist-watch.ts'
import { ScriptedBroadcast } from '../../support/scripted-broadcast.ts'
import { audioRendition, standardRenditions, videoRendition } from '../../support/segment-logs.ts'

const ladders: LoggedRendition[][] = [
  standardRenditions,
  [videoRendition(720), audioRendition],
  [videoRendition(720), videoRendition(480), videoRendition(360)],
  [audioRendition],
]

type Step =
  | { kind: 'segment'; parts: number; lastSeconds: number; hasGapPart: boolean }
  | { kind: 'gaps'; count: number }
  | { kind: 'take'; ladder: number; pauseSeconds: number; isOpenBefore: boolean }

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constant('segment' as const),
      parts: fc.integer({ min: 1, max: 8 }),
      lastSeconds: fc.constantFrom(0.5, 0.5, 0.3, 0.02),
      hasGapPart: fc.constantFrom(false, false, false, true),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('gaps' as const),
      count: fc.integer({ min: 1, max: 3 }),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('take' as const),
      ladder: fc.nat({ max: ladders.length - 1 }),
      pauseSeconds: fc.integer({ min: 0, max: 50 }),
      isOpenBefore: fc.boolean(),
    }),
  },
)

const script = fc.record({
  steps: fc.array(step, { minLength: 1, maxLength: 25 }),
  windowSegments: fc.constantFrom(6, 12, 30),
  isEnded: fc.boolean(),
})

/** Plays the steps one change at a time. */
function play(broadcast: ScriptedBroadcast, steps: readonly Step[]): void {
  broadcast.beginTake()
  for (const it of steps) {
    const names = () => broadcast.takes.at(-1)!.renditions.map((rendition) => rendition.name)
    if (it.kind === 'gaps') broadcast.addGaps(it.count)
    else if (it.kind === 'take') {
      if (it.isOpenBefore) broadcast.addParts()
      broadcast.endTake()
      const startSeconds = broadcast.takes.at(-1)!.endSeconds! + it.pauseSeconds
      broadcast.beginTake({ renditions: ladders[it.ladder]!, startSeconds })
    } else {
      // Renditions are a little apart, as encoders deliver them.
      for (let i = 1; i < it.parts; i++) {
        const isGap = it.hasGapPart && i === 2
        for (const name of names()) broadcast.addPart(name, { isGap })
      }
      for (const name of names()) {
        broadcast.addPart(name, { seconds: it.lastSeconds })
        broadcast.closeSegment(name)
      }
    }
  }
}

test('any sequence of changes makes playlists that hold to the rules, each an allowed edit of the one before', () => {
  fc.assert(
    fc.property(script, ({ steps, windowSegments, isEnded }) => {
      const broadcast = new ScriptedBroadcast({
        settings: { windowSegments },
        keptSegments: windowSegments + 20,
      })
      const faults = watchPlaylists(broadcast)
      play(broadcast, steps)
      if (isEnded) broadcast.end()
      expect([...faults]).toEqual([])
    }),
    { numRuns: 25 },
  )
}, 60_000)

test('a reload that is ready is one that the playlist answers', () => {
  fc.assert(
    fc.property(
      script,
      fc.integer({ min: -3, max: 5 }),
      fc.option(fc.integer({ min: 0, max: 12 }), { nil: undefined }),
      ({ steps }, ahead, part) => {
        const broadcast = new ScriptedBroadcast()
        play(broadcast, steps)
        const text = liveMediaPlaylist(broadcast, '720p')
        if (text === undefined) return
        const { segments } = readLivePlaylist(text)
        const last = segments.findLast((it) => it.uri !== undefined)
        const msn = (last?.number ?? segments[0]!.number) + ahead
        const state = reloadState(broadcast, '720p', { msn, ...(part !== undefined && { part }) })
        const complete = segments.filter((it) => it.uri !== undefined)
        const hasSegment = complete.some((it) => it.number >= msn)
        const hasPart = segments.some(
          (it) => it.number > msn || (it.number === msn && part! < it.parts.length),
        )
        const has = part === undefined ? hasSegment : hasPart || hasGapAt(complete, msn)
        expect(state === 'ready', `${msn} ${part} is ${state}\n${text}`).toBe(has)
        expect(state === 'too-far' && ahead <= 0 && part === undefined).toBe(false)
      },
    ),
  )
})

function hasGapAt(complete: readonly { number: number; parts: readonly unknown[] }[], msn: number) {
  return complete.some((it) => it.number === msn && it.parts.length === 0)
}
