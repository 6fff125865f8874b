import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { PackagedSegment } from '../../../common/live/live-broadcast.ts'
import type { MediaSample } from '../../../media/mp4/track.ts'
import type { Checkpoint } from '../../../origin/packager/checkpoint.ts'
import type { Cutting } from '../../../origin/packager/take-timeline.ts'
import {
  type Delivery,
  type PackagerRig,
  packagerRig,
  pictures,
  sounds,
  startTake,
  takePlan,
  timescaleOf,
} from '../../support/packager-rig.ts'
import { numberBreaches, ruleBreaches } from '../../support/packager-rules.ts'

interface Scene {
  cutting: Cutting
  framesPerSecond: number
  gops: number[]
  sampleRate: number
  reordered: boolean
  inMilliseconds: boolean
  seconds: number
  partSeconds: number
  lags: Record<string, number>
  hole: { from: number; seconds: number; renditions: string[] } | undefined
  hint: boolean
}

const names = ['720p', '360p', 'audio']
const namesOf = ({ cutting }: Scene) => (cutting === 'audio' ? ['audio'] : names)
const leaders = { 'source-keyframes': '720p', 'own-keyframes': '360p', audio: 'audio' }
const thousandths = (min: number, max: number) =>
  fc.integer({ min: min * 1000, max: max * 1000 }).map((it) => it / 1000)
const lag = thousandths(0, 2)
const gop = thousandths(0.5, 8)
const scenes = fc.record<Scene>({
  cutting: fc.constantFrom('source-keyframes', 'source-keyframes', 'own-keyframes', 'audio'),
  framesPerSecond: fc.oneof(
    fc.constantFrom(12, 15, 24, 25, 30, 50, 60, 24_000 / 1001, 30_000 / 1001, 60_000 / 1001),
    thousandths(12, 60),
  ),
  gops: fc.oneof(
    gop.map((it) => [it]),
    thousandths(0.5, 3).map((it) => [it]),
    fc.constantFrom<number[]>([1], [2], [2.5]),
    fc.array(thousandths(0.5, 2.5), { minLength: 2, maxLength: 9 }),
    fc.array(gop, { minLength: 2, maxLength: 9 }),
  ),
  sampleRate: fc.constantFrom(22_050, 24_000, 32_000, 44_100, 48_000),
  reordered: fc.boolean(),
  inMilliseconds: fc.boolean(),
  seconds: fc.integer({ min: 3, max: 16 }),
  partSeconds: fc.constantFrom(0.2, 0.333, 0.5, 1),
  lags: fc.record({ '720p': lag, '360p': lag, audio: lag }),
  hole: fc.option(
    fc.record({
      from: thousandths(12, 22),
      seconds: thousandths(0.05, 5),
      renditions: fc.constantFrom(names, ['720p', '360p'], ['audio'], ['360p']),
    }),
    { nil: undefined },
  ),
  hint: fc.boolean(),
})

const startSeconds = 10.02

const even = {
  cutting: 'source-keyframes',
  sampleRate: 48_000,
  reordered: false,
  inMilliseconds: false,
  partSeconds: 0.2,
  lags: { '720p': 0, '360p': 0, audio: 0 },
  hint: false,
} as const
/** Where cutting once went on otherwise. */
const hardScenes: [Scene][] = [
  // The media ends with the first sample after a hole, so that no step there tells how long it is.
  [
    {
      ...even,
      framesPerSecond: 42.919,
      gops: [1.969, 0.5],
      inMilliseconds: true,
      seconds: 3,
      hole: { from: 12.001, seconds: 0.979, renditions: names },
    },
  ],
  // Segment 4 of one rendition is a gap, and its next one open, before another has closed segment 4.
  [
    {
      ...even,
      framesPerSecond: 12,
      gops: [0.5, 0.5, 0.625],
      sampleRate: 22_050,
      seconds: 10,
      lags: { ...even.lags, audio: 0.184 },
      hole: { from: 13.358, seconds: 4.996, renditions: ['360p'] },
    },
  ],
  // A hole as long as a segment may be, if one counts from the grid, and not if from the sample there.
  [
    {
      ...even,
      cutting: 'audio',
      framesPerSecond: 12,
      gops: [0.5],
      seconds: 9,
      hole: { from: 15.432, seconds: 3, renditions: names },
    },
  ],
]

/** Whether a frame opens a GOP, the lengths of GOPs taken in turn. */
function keyframes({ gops, framesPerSecond }: Scene): (index: number) => boolean {
  const at = new Set<number>()
  let frame = 0
  for (let i = 0; frame < 2000; i++) {
    at.add(frame)
    frame += Math.max(1, Math.round(gops[i % gops.length]! * framesPerSecond))
  }
  return (index) => at.has(index)
}

function deliveriesOf(scene: Scene): Delivery[] {
  const { framesPerSecond, inMilliseconds, reordered, seconds, sampleRate, hole } = scene
  const picture = { framesPerSecond, fromSeconds: startSeconds, seconds, inMilliseconds }
  const isKeyframe = keyframes(scene)
  const tracks: Record<string, Iterable<MediaSample>> = {
    '720p': pictures({ ...picture, isKeyframe, reordered }),
    '360p': pictures({ ...picture, isKeyframe, hasDuration: true }),
    audio: sounds(sampleRate, startSeconds - 0.1, seconds),
  }
  return namesOf(scene).flatMap((rendition) =>
    [...tracks[rendition]!]
      .map((sample) => ({ rendition, sample }))
      .filter(({ sample }) => {
        if (!hole?.renditions.includes(rendition)) return true
        const time = sample.dts / timescaleOf(rendition, sampleRate)
        return time < hole.from || time >= hole.from + hole.seconds
      }),
  )
}

function inOrder(scene: Scene, deliveries: Delivery[], lags: Scene['lags']): Delivery[] {
  const arrival = ({ rendition, sample }: Delivery) =>
    sample.dts / timescaleOf(rendition, scene.sampleRate) + lags[rendition]!
  return deliveries
    .map((it) => ({ it, at: arrival(it) }))
    .sort((a, b) => a.at - b.at)
    .map(({ it }) => it)
}

function planOf(scene: Scene, name = 'take-1') {
  const rate = scene.hint ? { framesPerSecond: scene.framesPerSecond } : {}
  const { cutting } = scene
  return takePlan({ name, names: namesOf(scene), leader: leaders[cutting], cutting, ...rate })
}

function run(scene: Scene, lags = scene.lags, onEach?: (rig: PackagerRig) => void): PackagerRig {
  const rig = packagerRig({ config: { partSeconds: scene.partSeconds } })
  startTake(rig.packager, planOf(scene), 10, scene.sampleRate)
  for (const { rendition, sample } of inOrder(scene, deliveriesOf(scene), lags)) {
    rig.packager.push('take-1', rendition, sample)
    onEach?.(rig)
  }
  rig.packager.endTake('take-1')
  return rig
}

const frameSecondsOf = ({ framesPerSecond, sampleRate }: Scene) => ({
  '720p': 1 / framesPerSecond + 0.001,
  '360p': 1 / framesPerSecond + 0.001,
  audio: 1024 / sampleRate,
})

function expectSameAgain(scene: Scene, first: PackagerRig, checkpoint: Checkpoint): void {
  const again = packagerRig({
    config: { partSeconds: scene.partSeconds },
    resume: structuredClone(checkpoint),
  })
  const plan = planOf(scene, checkpoint.open?.name ?? 'take-1')
  startTake(again.packager, plan, checkpoint.endSeconds, scene.sampleRate)
  for (const { rendition, sample } of inOrder(scene, deliveriesOf(scene), scene.lags)) {
    again.packager.push(plan.name, rendition, sample)
  }
  again.packager.endTake(plan.name)
  expect([first, again].flatMap(numberBreaches)).toEqual([])
  for (const name of namesOf(scene)) {
    // Gaps between two takes are not listed again, but counted.
    const from = again.packager.takes[0]?.firstNumber ?? 0
    const numbers = first.packager.playlist(name)?.segments ?? []
    const left = numbers.filter((it) => it.number >= checkpoint.nextNumber && it.number < from)
    expect(checkpoint.open ? [] : left.filter((it) => !it.isGap)).toEqual([])
    const firstNumber = Math.max(from, checkpoint.nextNumber)
    expect(partition(again, name)).toEqual(partition(first, name, firstNumber))
  }
}

function partition({ packager }: PackagerRig, rendition: string, fromNumber = 0): unknown[] {
  return (packager.playlist(rendition)?.segments ?? [])
    .filter((it) => it.number >= fromNumber)
    .map(describeSegment)
}

function describeSegment(segment: PackagedSegment): unknown {
  return {
    number: segment.number,
    startTicks: segment.startTicks,
    durationTicks: segment.durationTicks,
    isGap: segment.isGap,
    keyframeBytes: segment.keyframeBytes,
    parts: segment.parts.map((it) => ({ ...it, bytes: it.bytes.toString('base64') })),
  }
}

describe('whatever the frame rate, the keyframes, the sound, and the order of renditions', () => {
  test('the rules of cutting hold', () => {
    fc.assert(
      fc.property(scenes, (scene) => {
        const rig = run(scene)
        const hasEvenFrames = scene.hole === undefined
        const breaches = ruleBreaches(rig, {
          frameSeconds: frameSecondsOf(scene),
          hasEvenFrames,
          // A hole may have swallowed one.
          ...(scene.hole && { allowedFault: /no keyframe/ }),
        })
        expect(breaches).toEqual([])
      }),
      { numRuns: 600 },
    )
  })

  test('the order in which renditions deliver changes nothing', () => {
    fc.assert(
      fc.property(scenes, fc.record({ '720p': lag, '360p': lag, audio: lag }), (scene, lags) => {
        const one = run(scene)
        const other = run(scene, lags)
        expect([one, other].flatMap(numberBreaches)).toEqual([])
        for (const name of namesOf(scene)) {
          expect(partition(other, name)).toEqual(partition(one, name))
        }
      }),
      { numRuns: 150 },
    )
  })

  test('cutting again from any checkpoint gives the same numbers, parts and bytes', () => {
    fc.assert(
      fc.property(scenes, (scene) => {
        const checkpoints = new Map<string, Checkpoint>()
        const first = run(scene, scene.lags, ({ packager, longGops }) => {
          if (!packager.settings || longGops.length > 0) return
          const checkpoint = packager.checkpoint()
          checkpoints.set(JSON.stringify(checkpoint), checkpoint)
        })
        for (const checkpoint of checkpoints.values()) expectSameAgain(scene, first, checkpoint)
      }),
      { numRuns: 150, examples: hardScenes },
    )
  })
})
