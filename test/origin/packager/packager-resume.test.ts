// A packager that goes on where another stood: what one would have listed is proven in cutter-properties.test.ts.
import { describe, expect, test } from 'vitest'
import {
  missingTicks,
  neededSeconds,
  type PackagingPoint,
  packagingPointSchema,
} from '../../../common/contract/resume-point.ts'
import { isPartlyElsewhere, type PackagedSegment } from '../../../common/live/live-broadcast.ts'
import type { TakePlan } from '../../../origin/packager/take-state.ts'
import {
  type Delivery,
  deliver,
  interleave,
  type PackagerRig,
  packagerRig,
  pictures,
  pictureTrack,
  sounds,
  startTake,
  takePlan,
  timescaleOf,
} from '../../support/packager-rig.ts'
import { ruleBreaches } from '../../support/packager-rules.ts'

const picture = (
  fromSeconds: number,
  seconds: number,
  isKeyframe = (index: number) => index % 60 === 0,
) => pictures({ framesPerSecond: 30, fromSeconds, seconds, isKeyframe })
const media = (fromSeconds: number, seconds: number) =>
  interleave({
    '720p': picture(fromSeconds, seconds),
    audio: sounds(48_000, fromSeconds, seconds),
  })
const secondsOf = ({ rendition, sample }: Delivery) => sample.dts / timescaleOf(rendition)
const names = ['720p', 'audio']

function pointOf({ packager }: PackagerRig): PackagingPoint {
  return packagingPointSchema.parse(JSON.parse(JSON.stringify(packager.checkpoint())))
}

function pointAfter(deliveries: readonly Delivery[], plan: TakePlan = takePlan()): PackagingPoint {
  const rig = packagerRig()
  startTake(rig.packager, plan, 10)
  deliver(rig, plan.name, deliveries)
  return pointOf(rig)
}

const listed = ({ packager }: PackagerRig, name: string) => packager.playlist(name)!.segments
const numbers = (segments: readonly PackagedSegment[]) =>
  segments.map((it) => [it.number, it.take.number, it.isGap])

describe('inside an open segment', () => {
  const point = pointAfter(media(10, 5.2))

  test('names what is listed of it, and from where on media is needed', () => {
    const [open] = point.openTakes!
    const state = open!.tracks['720p']!.state!
    expect(state.segment!.parts.map((it) => [it.id, it.startTicks / 90_000])).toEqual([
      [9, 14],
      [10, 14.5],
    ])
    expect(missingTicks(open!)).toEqual(
      new Map([
        ['720p', 15 * 90_000],
        ['audio', open!.tracks.audio!.state!.endTicks],
      ]),
    )
    expect(neededSeconds(point)).toBeLessThanOrEqual(15)
    expect(neededSeconds(point)).toBeGreaterThan(14.4)
  })

  test('goes on in the same take, with the next parts, and closes where it would have', () => {
    const rig = packagerRig({ resume: point })
    startTake(rig.packager, takePlan({ epoch: 2 }), 10)
    deliver(
      rig,
      'take-1',
      media(10, 10).filter((it) => secondsOf(it) >= 14),
    )
    expect(rig.packager.takes).toMatchObject([{ firstNumber: 1, startSeconds: 10, epoch: 2 }])
    for (const name of names) {
      const segments = listed(rig, name)
      expect(segments.map((it) => it.number)).toEqual([3, 4, 5])
      const parts = segments.flatMap((it) => it.parts)
      expect(parts.map((it) => it.id)).toEqual(parts.map((_, index) => parts[0]!.id + index))
      expect(rig.packager.playlist(name)!.discontinuitySequence).toBe(0)
    }
    expect(listed(rig, '720p')[0]).toMatchObject({ durationTicks: 180_000, isOpen: false })
    expect(ruleBreaches(rig, { frameSeconds: { '720p': 1 / 30, audio: 1024 / 48_000 } })).toEqual(
      [],
    )
    expect(rig.packager.checkpoint().takes).toBe(1)
  })

  test('stands where it stood until something is listed', () => {
    const rig = packagerRig({ resume: point })
    expect(pointOf(rig)).toEqual(point)
    startTake(rig.packager, takePlan(), 10)
    expect(pointOf(rig)).toEqual(point)
  })

  test('has no bytes of parts before, and answers for none', () => {
    const rig = packagerRig({ resume: point })
    const { packager } = rig
    startTake(packager, takePlan(), 10)
    deliver(
      rig,
      'take-1',
      media(10, 10).filter((it) => secondsOf(it) >= 14),
    )
    expect(packager.part('take-1', '720p', 10)).toMatchObject({
      elsewhereBytes: expect.any(Number),
    })
    expect(packager.expectsPart('take-1', '720p', 10)).toEqual({ kind: 'absent' })
    expect(packager.expectsPart('take-1', '720p', 11)).toEqual({ kind: 'here' })
    expect(packager.expects('take-1', '720p', 3)).toEqual({ kind: 'absent' })
    expect(packager.expects('take-1', '720p', 4)).toEqual({ kind: 'here' })
    const third = rig.committed.find((it) => it.segment.number === 3)!
    expect(isPartlyElsewhere(third.segment)).toBe(true)
    expect(third.bytes.length).toBeLessThan(third.segment.sizeBytes)
  })
})

describe('behind a gap part', () => {
  test('goes on with the sample after it', () => {
    const all = media(10, 9).filter(
      ({ rendition, sample }) =>
        rendition === 'audio' || sample.dts < 14.5 * 90_000 || sample.dts >= 15.4 * 90_000,
    )
    const whole = packagerRig()
    startTake(whole.packager, takePlan(), 10)
    deliver(whole, 'take-1', all)
    const cut = all.findIndex((it) => it.rendition === '720p' && secondsOf(it) >= 15.4) + 1
    const point = pointAfter(all.slice(0, cut + 4))
    const { parts } = point.openTakes![0]!.tracks['720p']!.state!.segment!
    expect(parts.at(-1)).toMatchObject({ isGap: true, sizeBytes: 0 })
    const rig = packagerRig({ resume: point })
    startTake(rig.packager, takePlan(), 10)
    deliver(
      rig,
      'take-1',
      all.filter((it) => secondsOf(it) >= 14),
    )
    const times = (of: PackagerRig) =>
      listed(of, '720p')
        .filter((it) => it.number >= 3)
        .flatMap((it) => it.parts.map(({ id, startTicks, isGap }) => [id, startTicks, isGap]))
    expect(times(rig)).toEqual(times(whole))
  })
})

describe('without pictures', () => {
  test('goes on at the next frame of sound', () => {
    const plan = takePlan({ names: ['audio'], cutting: 'audio' })
    const all = interleave({ audio: sounds(48_000, 10, 12) })
    const point = pointAfter(all.slice(0, 240), plan)
    const rig = packagerRig({ resume: point })
    startTake(rig.packager, plan, 10)
    const needed = neededSeconds(point)!
    deliver(
      rig,
      'take-1',
      all.filter((it) => secondsOf(it) >= needed),
    )
    const [open] = listed(rig, 'audio')
    const first = open!.parts.find((it) => it.elsewhereBytes === undefined)!
    expect(first.startTicks).toBe(missingTicks(point.openTakes![0]!).get('audio'))
    expect(open!.durationTicks / 48_000).toBeCloseTo(2, 1)
  })
})

describe('with keyframes of our own', () => {
  const grid = { firstTicks: 900_000, everyTicks: 180_000, toleranceTicks: 750 }
  const plan = takePlan({ names: ['720p', '360p'], leader: '360p', cutting: 'own-keyframes', grid })
  const both = (isKeyframe: (index: number) => boolean) =>
    interleave({ '720p': picture(10, 10, isKeyframe), '360p': picture(10, 10, isKeyframe) })

  test.each([
    [1, 'a frame before the line', 119],
    [2, 'on the line', 120],
    [3, 'in the middle', 90],
  ])('%d: the keyframe with which an encoder begins cuts on the grid only: %s', (_, __, seam) => {
    const lines = (index: number) => index % 60 === 0
    const point = pointAfter(
      both(lines).filter((it) => secondsOf(it) < 10 + seam / 30),
      plan,
    )
    for (const track of Object.values(point.openTakes![0]!.tracks)) {
      // As if the encoder before had stood right there.
      track.state!.nextDts = 900_000 + seam * 3_000
    }
    point.openTakes![0]!.timeline!.last = { dts: 900_000 + (seam - 1) * 3_000, duration: 0 }
    const rig = packagerRig({ resume: point })
    startTake(rig.packager, plan, 10)
    const again = both((index) => lines(index) || index === seam)
    deliver(
      rig,
      'take-1',
      again.filter((it) => secondsOf(it) >= 10 + seam / 30),
    )
    const starts = rig.packager.playlist('360p')!.segments.map((it) => it.startTicks / 90_000)
    expect(starts.filter((it) => it >= 14)).toEqual([14, 16, 18])
    expect(rig.faults).toEqual([])
  })
})

describe('what cannot go on', () => {
  const point = pointAfter(media(10, 5.2))
  const later = media(10, 10).filter((it) => secondsOf(it) >= 14)

  test('another init section ends the open segment at its last listed part, and a take begins', () => {
    const rig = packagerRig({ resume: point })
    const { packager } = rig
    packager.startTake(takePlan(), 10)
    packager.setInit('take-1', '720p', Buffer.from('another init'), pictureTrack(720))
    packager.setInit(
      'take-1',
      'audio',
      Buffer.from('init of audio'),
      point.openTakes![0]!.tracks.audio!.rendition!.track,
    )
    deliver(rig, 'take-1', later)
    packager.endTake('take-1')
    const [open, ...others] = listed(rig, '720p')
    expect(open).toMatchObject({ number: 3, isOpen: false, take: { name: 'take-1' } })
    expect(open!.parts.filter((it) => !it.isGap).every((it) => it.elsewhereBytes)).toBe(true)
    expect(open!.rendition.init.toString()).toBe('init of 720p')
    expect(new Set(others.filter((it) => !it.isGap).map((it) => it.take.name))).toEqual(
      new Set(['auto-201']),
    )
    expect(others.at(-1)!.rendition.init.toString()).toBe('another init')
    expect(packager.takes).toMatchObject([{ name: 'take-1' }, { firstNumber: 5 }])
    expect(packager.checkpoint().takes).toBe(2)
    for (const name of names) {
      expect(listed(rig, name).map((it) => it.number)).toEqual([3, 4, 5, 6])
    }
  })

  test('another take ends what is open where it stands', () => {
    const rig = packagerRig({ resume: point })
    const { packager } = rig
    startTake(packager, takePlan({ name: 'take-2', number: 2, epoch: 2 }), packager.endSeconds)
    deliver(rig, 'take-2', later)
    packager.endTake('take-2')
    for (const name of names) {
      expect(numbers(listed(rig, name))).toEqual([
        [3, 1, false],
        [4, 1, true],
        [5, 2, false],
        [6, 2, false],
      ])
    }
    expect(packager.takes).toMatchObject([{ epoch: 2, endSeconds: expect.closeTo(15, 1) }, {}])
    expect(rig.faults).toEqual([])
  })

  test('a take of which nothing is listed is forgotten', () => {
    const early = pointAfter(media(10, 2.2))
    expect(early.openTakes![0]!.timeline).toBeDefined()
    const rig = packagerRig({
      resume: { ...early, openTakes: [withoutParts(early)] },
    })
    startTake(rig.packager, takePlan({ name: 'take-2', number: 2 }), 10)
    deliver(rig, 'take-2', media(10, 6))
    expect(rig.packager.takes).toMatchObject([{ name: 'take-2', firstNumber: 1 }])
    expect(rig.packager.checkpoint().takes).toBe(1)
  })

  test('a publisher that stays away leaves gaps behind the open segment', () => {
    const rig = packagerRig({ resume: point })
    rig.packager.startTake(takePlan(), 10)
    rig.packager.endTake('take-1')
    rig.packager.fillGaps(21)
    for (const name of names) {
      const [open, ...gaps] = listed(rig, name)
      expect(open).toMatchObject({ number: 3, isOpen: false, isGap: false })
      expect(gaps.map((it) => [it.number, it.isGap])).toEqual([
        [4, true],
        [5, true],
      ])
    }
  })

  test('ends with the broadcast', () => {
    const rig = packagerRig({ resume: point })
    rig.packager.end()
    expect(listed(rig, '720p')).toMatchObject([{ number: 3, isOpen: false }])
    expect(rig.packager.isEnded).toBe(true)
  })
})

/** As it is where the leader's first part has yet to close. */
function withoutParts({ openTakes }: PackagingPoint) {
  const take = structuredClone(openTakes![0]!)
  take.timeline!.cuts = take.timeline!.cuts.slice(0, 1)
  for (const track of Object.values(take.tracks)) {
    track.state = { ...track.state!, number: 1, nextDts: undefined }
    delete track.state.segment
  }
  return take
}
