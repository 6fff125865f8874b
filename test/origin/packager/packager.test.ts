import { describe, expect, test } from 'vitest'
import {
  deliver,
  interleave,
  packagerRig,
  pictures,
  secondsOf,
  sounds,
  startOf,
  startTake,
  takePlan,
  timescaleOf,
} from '../../support/packager-rig.ts'

const every = (frames: number) => (index: number) => index % frames === 0
const picture = (fromSeconds: number, seconds: number, gop = 60) =>
  pictures({ framesPerSecond: 30, fromSeconds, seconds, isKeyframe: every(gop) })

describe('a take', () => {
  test('is listed from the second keyframe on, by the length of its gop', () => {
    const rig = packagerRig()
    const { packager } = rig
    startTake(packager, takePlan(), 10)
    const samples = interleave({ '720p': picture(10, 8), audio: sounds(48_000, 9.9, 8) })
    deliver(rig, 'take-1', samples.slice(0, 120))
    expect(packager.settings).toBeUndefined()
    deliver(rig, 'take-1', samples.slice(120))
    expect(packager.settings).toMatchObject({ segmentSeconds: 2, targetDurationSeconds: 4 })
    const playlist = packager.playlist('720p')!
    expect(playlist.segments.map((it) => it.number)).toEqual([1, 2, 3, 4])
    expect(playlist.segments.map(startOf)).toEqual([10, 12, 14, 16])
    expect(playlist.segments[0]!.parts.map((it) => it.durationTicks)).toEqual([
      45_000, 45_000, 45_000, 45_000,
    ])
    expect(playlist.segments.at(-1)!.isOpen).toBe(true)
    expect(packager.playlist('audio')!.segments.map((it) => it.number)).toEqual([1, 2, 3, 4])
    packager.endTake('take-1')
    expect(packager.playlist('720p')!.segments.at(-1)!.isOpen).toBe(false)
    expect(packager.takes[0]!.endSeconds).toBeCloseTo(18, 3)
    expect(rig.faults).toEqual([])
    expect(rig.committed).toHaveLength(8)
  })
})

describe('holes', () => {
  test('between takes become gap segments of about the grid', () => {
    const rig = packagerRig()
    const { packager } = rig
    startTake(packager, takePlan(), 10)
    deliver(rig, 'take-1', interleave({ '720p': picture(10, 6), audio: sounds(48_000, 10, 6) }))
    packager.endTake('take-1')
    packager.fillGaps(19)
    expect(packager.endSeconds).toBeCloseTo(18, 3)
    startTake(packager, takePlan({ name: 'take-2', number: 2 }), 20)
    deliver(rig, 'take-2', interleave({ '720p': picture(21, 6), audio: sounds(48_000, 21, 6) }))
    for (const name of ['720p', 'audio']) {
      const { segments, discontinuitySequence } = packager.playlist(name)!
      expect(segments.map((it) => [it.number, it.isGap])).toEqual([
        [1, false],
        [2, false],
        [3, false],
        [4, true],
        [5, true],
        [6, true],
        [7, false],
        [8, false],
        [9, false],
      ])
      expect(secondsOf(segments[4]!) + secondsOf(segments[5]!)).toBeCloseTo(3, 1)
      expect(segments[6]!.take.name).toBe('take-2')
      expect(discontinuitySequence).toBe(0)
    }
  })
})

describe('a take that continues another with the same encoders', () => {
  test('has no hole, and lacks only what is not in its plan', () => {
    const rig = packagerRig()
    const { packager } = rig
    const names = ['720p', '360p', 'audio']
    startTake(packager, takePlan({ names }), 10)
    const samples = interleave({
      '720p': picture(10, 12),
      '360p': picture(10, 12),
      audio: sounds(48_000, 10, 12),
    })
    const at = samples.findIndex(
      ({ rendition, sample }) => sample.dts / timescaleOf(rendition) >= 16,
    )
    deliver(rig, 'take-1', samples.slice(0, at))
    packager.dropRendition('take-1', '360p')
    startTake(packager, takePlan({ name: 'take-2', number: 2, continues: true }), 16)
    deliver(rig, 'take-2', samples.slice(at))
    for (const name of ['720p', 'audio']) {
      const { segments } = packager.playlist(name)!
      expect(segments.map((it) => [it.number, it.take.name, it.isGap])).toEqual([
        [1, 'take-1', false],
        [2, 'take-1', false],
        [3, 'take-1', false],
        [4, 'take-2', false],
        [5, 'take-2', false],
        [6, 'take-2', false],
      ])
    }
    expect(packager.take('take-1')!.endSeconds).toBeCloseTo(16, 3)
    expect(packager.playlist('360p')!.segments.at(-1)!.rendition.name).toBe('720p')
    expect(rig.faults).toEqual([])
  })
})
