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
import { ruleBreaches } from '../../support/packager-rules.ts'

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

describe('the next take', () => {
  const plan = (number: number, changes = {}) =>
    takePlan({ name: `take-${number}`, number, names: ['720p', '360p', 'audio'], ...changes })
  const media = (fromSeconds: number, seconds: number) =>
    interleave({
      '720p': picture(fromSeconds, seconds),
      '360p': picture(fromSeconds, seconds),
      audio: sounds(48_000, fromSeconds, seconds),
    })

  test('begins while followers of the take before still deliver', () => {
    const rig = packagerRig()
    const { packager } = rig
    startTake(packager, plan(1), 10)
    const first = media(10, 6)
    const late = first.filter((it) => it.rendition === '360p' && it.sample.dts >= 13 * 90_000)
    deliver(
      rig,
      'take-1',
      first.filter((it) => !late.includes(it)),
    )
    startTake(packager, plan(2), 16)
    deliver(rig, 'take-2', media(16, 4))
    const numbers = (name: string) => packager.playlist(name)!.segments.map((it) => it.number)
    expect(numbers('720p')).toEqual([1, 2, 3, 4, 5])
    expect(numbers('360p')).toEqual([1, 2])
    expect(packager.playlist('360p')!.next).toMatchObject({ number: 2 })
    deliver(rig, 'take-1', late)
    packager.endTake('take-1')
    expect(numbers('360p')).toEqual([1, 2, 3, 4, 5])
    expect(packager.playlist('360p')!.segments.map((it) => it.take.number)).toEqual([1, 1, 1, 2, 2])
    const partIds = packager.playlist('360p')!.segments.flatMap((it) => it.parts.map((at) => at.id))
    expect(partIds).toEqual(partIds.map((_, index) => index + 1))
    const frameSeconds = { '720p': 1 / 30, '360p': 1 / 30, audio: 1024 / 48_000 }
    expect(ruleBreaches(rig, { frameSeconds })).toEqual([])
    expect(packager.takes.map((it) => it.endSeconds)).toEqual([16, undefined])
  })

  test('ends the one before where it begins, and what comes later for that one is dropped', () => {
    const rig = packagerRig()
    const { packager } = rig
    startTake(packager, plan(1), 10)
    deliver(rig, 'take-1', media(10, 6))
    startTake(packager, plan(2), 16)
    deliver(rig, 'take-2', media(16, 4))
    deliver(rig, 'take-1', media(16, 4))
    packager.endTake('take-1')
    expect(packager.playlist('720p')!.segments.map(startOf)).toEqual([10, 12, 14, 16, 18])
    expect(packager.playlist('720p')!.segments.map((it) => it.take.number)).toEqual([1, 1, 1, 2, 2])
    expect(packager.take('take-1')).toMatchObject({ firstNumber: 1, endSeconds: 16 })
    expect(packager.take('take-2')).toMatchObject({ firstNumber: 4, isRegular: true })
  })

  test('waits for the one that is listed, where one in between brings nothing', () => {
    const rig = packagerRig()
    const { packager } = rig
    startTake(packager, plan(1), 10)
    deliver(rig, 'take-1', media(10, 3))
    startTake(packager, plan(2), 13)
    startTake(packager, plan(3), 17)
    deliver(rig, 'take-3', media(17, 4))
    expect(packager.takes.map((it) => it.name)).toEqual(['take-1'])
    packager.endTake('take-1')
    const { segments } = packager.playlist('720p')!
    expect(segments.map((it) => [it.number, it.take.number, it.isGap])).toEqual([
      [1, 1, false],
      [2, 1, false],
      [3, 1, true],
      [4, 1, true],
      [5, 3, false],
      [6, 3, false],
    ])
    expect(segments.map(secondsOf).slice(0, 4)).toEqual([2, 1, 2, 2])
  })

  test('without a rendition is served by the nearest in height', () => {
    const rig = packagerRig()
    const { packager } = rig
    startTake(packager, plan(1), 10)
    deliver(rig, 'take-1', media(10, 4))
    startTake(packager, plan(2, { names: ['720p', 'audio'] }), 14)
    deliver(rig, 'take-2', media(14, 4))
    packager.endTake('take-1')
    const { segments } = packager.playlist('360p')!
    expect(segments.map((it) => it.number)).toEqual([1, 2, 3, 4])
    expect(segments.map((it) => it.rendition.name)).toEqual(['360p', '360p', '720p', '720p'])
  })

  test('without pictures is a gap in their playlists', () => {
    const rig = packagerRig()
    const { packager } = rig
    startTake(packager, plan(1), 10)
    deliver(rig, 'take-1', media(10, 4))
    packager.endTake('take-1')
    startTake(packager, plan(2, { names: ['audio'], cutting: 'audio' }), 14)
    deliver(rig, 'take-2', interleave({ audio: sounds(48_000, 14, 5) }))
    const { segments } = packager.playlist('720p')!
    expect(segments.map((it) => [it.number, it.isGap])).toEqual([
      [1, false],
      [2, false],
      [3, true],
      [4, true],
    ])
    expect(packager.playlist('audio')!.segments).toHaveLength(5)
  })

  test('takes over by itself where a keyframe leaves the grid, and none is regular after it', () => {
    const rig = packagerRig()
    const { packager } = rig
    startTake(packager, takePlan(), 10)
    const keyframes = new Set([0, 60, 120, 200, 260, 320, 380])
    const samples = pictures({
      framesPerSecond: 30,
      fromSeconds: 10,
      seconds: 14,
      isKeyframe: (index) => keyframes.has(index),
    })
    deliver(rig, 'take-1', interleave({ '720p': samples, audio: sounds(48_000, 10, 14) }))
    expect(packager.takes.map((it) => [it.isRegular, it.firstNumber])).toEqual([
      [true, 1],
      [false, 4],
    ])
    expect(packager.takes[1]!.renditions.map((it) => it.init.toString())).toEqual([
      'init of 720p',
      'init of audio',
    ])
    const starts = packager.playlist('720p')!.segments.map(startOf)
    expect(starts.map((it) => Math.round((it - 10) * 30))).toEqual([0, 60, 120, 200, 260, 320, 380])
    packager.endTake('take-1')
    expect(packager.playlist('720p')!.segments.at(-1)!.isOpen).toBe(false)
    startTake(packager, takePlan({ name: 'take-2', number: 2 }), 24)
    deliver(rig, 'take-2', interleave({ '720p': picture(24, 4), audio: sounds(48_000, 24, 4) }))
    expect(packager.takes.at(-1)).toMatchObject({ name: 'take-2', isRegular: false })
  })
})

describe('long gops', () => {
  test('are told before anything is listed', () => {
    const rig = packagerRig()
    startTake(rig.packager, takePlan(), 10)
    deliver(rig, 'take-1', interleave({ '720p': picture(10, 6, 250) }))
    expect(rig.longGops).toEqual([{ seconds: 10, kind: 'first', take: 'take-1' }])
    expect(rig.packager.settings).toBeUndefined()
    expect(rig.packager.takes).toEqual([])
    const own = takePlan({
      name: 'take-2',
      number: 1,
      cutting: 'own-keyframes',
      framesPerSecond: 30,
    })
    startTake(rig.packager, own, 10)
    deliver(rig, 'take-2', interleave({ '720p': picture(10, 6), audio: sounds(48_000, 10, 6) }))
    expect(rig.packager.playlist('720p')!.segments.map(startOf)).toEqual([10, 12, 14])
  })

  test('that come later end the take before its segment is too long', () => {
    const rig = packagerRig()
    const { packager } = rig
    startTake(packager, takePlan(), 10)
    const isKeyframe = (index: number) => index % 60 === 0 && index <= 120
    const samples = pictures({ framesPerSecond: 30, fromSeconds: 10, seconds: 12, isKeyframe })
    deliver(rig, 'take-1', interleave({ '720p': samples, audio: sounds(48_000, 10, 12) }))
    expect(rig.longGops).toMatchObject([{ kind: 'overdue', take: 'take-1' }])
    expect(packager.endSeconds).toBeCloseTo(18.43, 1)
    const last = packager.playlist('720p')!.segments.at(-1)!
    expect([last.number, last.isOpen, Math.round(secondsOf(last))]).toEqual([3, false, 4])
  })
})

describe('a rendition that has been dropped', () => {
  test('is filled with gaps to the end of the take', () => {
    const rig = packagerRig()
    const { packager } = rig
    startTake(packager, takePlan({ names: ['720p', '360p', 'audio'] }), 10)
    const media = interleave({
      '720p': picture(10, 10),
      '360p': picture(10, 3),
      audio: sounds(48_000, 10, 10),
    })
    deliver(rig, 'take-1', media.slice(0, 400))
    packager.dropRendition('take-1', '360p')
    deliver(rig, 'take-1', media.slice(400))
    packager.endTake('take-1')
    const { segments } = packager.playlist('360p')!
    expect(segments.map((it) => [it.number, it.isGap])).toEqual([
      [1, false],
      [2, false],
      [3, true],
      [4, true],
      [5, true],
    ])
    expect(segments[1]!.parts.map((it) => it.isGap)).toContain(true)
    expect(secondsOf(segments[1]!)).toBeCloseTo(2, 1)
    expect(packager.expects('take-1', '360p', 3)).toEqual({ kind: 'absent' })
  })
})

describe('a rendition that has been dropped a frame before a cut', () => {
  test('has its gaps where the others are cut, however long a frame is', () => {
    const rig = packagerRig()
    const { packager } = rig
    startTake(packager, takePlan({ names: ['720p', '360p'] }), 10)
    const slow = (seconds: number) =>
      pictures({ framesPerSecond: 12, fromSeconds: 10, seconds, isKeyframe: every(24) })
    deliver(rig, 'take-1', interleave({ '720p': slow(3.5), '360p': slow(3.5) }))
    const rest = [...slow(8)].slice(42)
    deliver(rig, 'take-1', interleave({ '720p': rest, '360p': rest.slice(0, 5) }))
    packager.dropRendition('take-1', '360p')
    packager.endTake('take-1')
    const { segments } = packager.playlist('360p')!
    expect(segments.map((it) => [startOf(it), secondsOf(it), it.isGap])).toEqual([
      [10, 2, false],
      [12, 2, false],
      [14, 2, true],
      [16, 2, true],
    ])
    expect(segments[1]!.parts.at(-1)).toMatchObject({ isGap: true, durationTicks: 7500 })
  })
})

describe('what a server asks', () => {
  test('is here, coming or absent', () => {
    const rig = packagerRig()
    const { packager } = rig
    startTake(packager, takePlan(), 10)
    deliver(rig, 'take-1', interleave({ '720p': picture(10, 5), audio: sounds(48_000, 10, 5) }))
    const kind = (number: number) => packager.expects('take-1', '720p', number).kind
    expect([1, 2, 3, 4, 5, 6].map(kind)).toEqual([
      'here',
      'here',
      'here',
      'coming',
      'coming',
      'absent',
    ])
    const { next } = packager.playlist('720p')!
    expect(next).toMatchObject({ number: 3 })
    expect(packager.expectsPart('take-1', '720p', next!.partId - 1).kind).toBe('here')
    expect(packager.expectsPart('take-1', '720p', next!.partId).kind).toBe('coming')
    expect(packager.part('take-1', '720p', next!.partId - 1)!.bytes.length).toBeGreaterThan(0)
    expect(packager.expects('take-2', '720p', 1).kind).toBe('absent')
    packager.end()
    expect(packager.isEnded).toBe(true)
    expect(kind(4)).toBe('absent')
    expect(packager.expectsPart('take-1', '720p', 1000).kind).toBe('absent')
    expect(packager.playlist('720p')!.next).toBeUndefined()
  })

  test('changes once per push, and not at all when nothing can be seen of it', () => {
    const rig = packagerRig()
    startTake(rig.packager, takePlan(), 10)
    const samples = interleave({ '720p': picture(10, 4), audio: sounds(48_000, 10, 4) })
    let pushes = 0
    for (const it of samples) {
      const before = rig.changes.length
      deliver(rig, 'take-1', [it])
      expect(rig.changes.length - before).toBeLessThanOrEqual(1)
      if (rig.changes.length > before) pushes++
    }
    expect(pushes).toBeLessThan(30)
    expect(rig.changes).toEqual(rig.changes.map((_, index) => rig.changes[0]! + index))
  })

  test('survives an overtaken epoch: the segment is a gap, and nothing of it is stored', () => {
    const rig = packagerRig()
    const { packager } = rig
    startTake(packager, takePlan({ epoch: 2 }), 10)
    deliver(rig, 'take-1', interleave({ '720p': picture(10, 4), audio: sounds(48_000, 10, 4) }))
    packager.endTake('take-1')
    const before = rig.committed.length
    startTake(packager, takePlan({ name: 'take-2', number: 2, epoch: 1 }), 14)
    deliver(rig, 'take-2', interleave({ '720p': picture(14, 4), audio: sounds(48_000, 14, 4) }))
    const refused = rig.committed.slice(before)
    expect(
      refused.map(({ segment, bytes }) => [segment.number, segment.isGap, bytes.length]),
    ).toEqual([
      [3, true, 0],
      [3, true, 0],
    ])
    expect(rig.faults[0]).toMatch(/epoch/)
    expect(packager.playlist('720p')!.segments[2]!.isGap).toBe(true)
  })
})
