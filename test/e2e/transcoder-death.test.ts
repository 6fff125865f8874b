// A transcoder that dies, or stands still, while it is published to: the publisher does not notice, the stream goes on
// at another one, and what was listed stays as it was.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { FrozenTree } from '../support/frozen-tree.ts'
import type { SequenceReport } from '../support/sequence-audit.ts'
import { type StreamFacts, TakeoverStage } from '../support/takeover-stage.ts'

/** Bound for the listing to go on; what it takes in the median is for benchmarks to say. */
const resumeLimitMs = 10_000
const frozenMs = 10_000

const faults: [string, (stage: TakeoverStage) => Promise<void>][] = [
  [
    'killed',
    async (stage) => {
      const { pid } = await stage.holder('transcoders')
      const struckAtMs = performance.now()
      process.kill(pid, 'SIGKILL')
      await stage.mediaSince(struckAtMs, resumeLimitMs)
      await stage.segments(2)
    },
  ],
  [
    'frozen for 10 s and thawed',
    async (stage) => {
      const { pid } = await stage.holder('transcoders')
      const struckAtMs = performance.now()
      using frozen = FrozenTree.freeze(pid)
      await stage.mediaSince(struckAtMs, resumeLimitMs)
      await new Promise((resolve) => {
        setTimeout(resolve, struckAtMs + frozenMs - performance.now())
      })
      frozen.thaw()
      await stage.segments(3)
    },
  ],
]

describe.each(faults)('a transcoder %s', (_, strike) => {
  let stage: TakeoverStage
  let before: StreamFacts
  let after: StreamFacts
  let portBefore: number | undefined
  let report: SequenceReport

  beforeAll(async () => {
    stage = await TakeoverStage.start({ transcoders: 2, pops: 2 })
    await stage.segments(2)
    before = await stage.stream()
    portBefore = stage.publisher.localPort
    await strike(stage)
    after = await stage.stream()
    report = await stage.audit.stop(stage.publisher.sent)
  }, 120_000)

  afterAll(() => stage?.[Symbol.asyncDispose]())

  test('the publisher keeps its connection and hears nothing', () => {
    expect(stage.publisher.disconnects).toBe(0)
    expect(stage.publisher.localPort).toBe(portBefore)
    expect(stage.publisher.statuses.filter(({ level }) => level === 'error')).toEqual([])
  })

  test('the same broadcast goes on at the other transcoder with a higher epoch', () => {
    expect(after.transcoder.id).not.toBe(before.transcoder.id)
    expect(after.epoch).toBeGreaterThan(before.epoch)
    expect(after.broadcastId).toBe(before.broadcastId)
  })

  test('the same take goes on, number by number, without a discontinuity or a gap', () => {
    for (const { name, skipped, discontinuities, gaps, takes } of report.playlists) {
      const seen = { skipped, discontinuities, gaps, takes: takes.length }
      expect(seen, name).toEqual({ skipped: [], discontinuities: 0, gaps: 0, takes: 1 })
    }
  })

  test('what was listed stays there with the same bytes', () => {
    expect(report.faults).toEqual([])
  })

  test('no frame comes out of order or changed, and none twice but of the segment that was open', () => {
    const openSeconds = 2.5
    for (const [{ doubled, disordered, changed }, perSecond] of [
      [report.video, 30],
      [report.audio, 48_000 / 1024],
    ] as const) {
      expect({ disordered, changed }).toEqual({ disordered: [], changed: [] })
      expect(doubled.length).toBeLessThanOrEqual(openSeconds * perSecond)
    }
  })

  test('no frame is lost', () => {
    expect(report.video.listed).toBeGreaterThan(0)
    expect(report.audio.listed).toBeGreaterThan(0)
    expect({ video: report.video.lost, audio: report.audio.lost }).toEqual({ video: [], audio: [] })
  })
})
