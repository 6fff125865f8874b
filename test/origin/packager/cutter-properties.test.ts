import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  missingTicks,
  neededSeconds,
  type PackagingPoint,
  packagingPointSchema,
} from '../../../common/contract/resume-point.ts'
import type { PackagedSegment, PackagedTake } from '../../../common/live/live-broadcast.ts'
import type { MediaSample } from '../../../media/mp4/track.ts'
import { MemoryCommitLog } from '../../../origin/packager/commit-log.ts'
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

interface Relay {
  rigs: PackagerRig[]
  /** What each packager but the first was given. */
  points: PackagingPoint[]
}

/** Several packagers after each other: each goes on where the one before stood, as JSON tells it. */
function relay(scene: Scene, cuts: readonly number[]): Relay {
  const all = inOrder(scene, deliveriesOf(scene), scene.lags)
  const config = { partSeconds: scene.partSeconds }
  const options = { config, commits: new MemoryCommitLog() }
  let rig = packagerRig(options)
  let plan = planOf(scene)
  let feed = all.map((it, index) => ({ ...it, index }))
  const rigs = [rig]
  const points: PackagingPoint[] = []
  startTake(rig.packager, plan, 10, scene.sampleRate)
  for (const cut of [...cuts, all.length]) {
    for (const { rendition, sample, index } of feed) {
      if (index < cut) rig.packager.push(plan.name, rendition, sample)
    }
    const point = packagingPointSchema.parse(JSON.parse(JSON.stringify(rig.packager.checkpoint())))
    const open = point.openTakes?.find((it) => it.successorOf === undefined)
    if (cut === all.length || !open) break
    points.push(point)
    rig = packagerRig({ ...options, resume: point, takeNumber: rig.takeNumber() })
    rigs.push(rig)
    plan = planOf(scene, open.plan.name)
    startTake(rig.packager, plan, open.fromSeconds, scene.sampleRate)
    feed = fedAgain(scene, all, point)
  }
  rig.packager.endTake(plan.name)
  return { rigs, points }
}

/** From the source's last keyframe that the point needs on; an encoder begins exactly where its rendition ends. */
function fedAgain(scene: Scene, all: readonly Delivery[], point: PackagingPoint) {
  const needed = neededSeconds(point) ?? point.endSeconds
  const secondsOf = ({ rendition, sample }: Delivery) =>
    sample.dts / timescaleOf(rendition, scene.sampleRate)
  const keyframe = all.findLast(
    (it) => it.rendition === '720p' && it.sample.isKeyframe && secondsOf(it) <= needed,
  )
  const from = scene.cutting === 'audio' ? needed : keyframe ? secondsOf(keyframe) : 0
  const ticks = scene.cutting === 'source-keyframes' ? encodedFrom(point) : undefined
  return all
    .map((it, index) => ({ ...it, index }))
    .filter((it) => secondsOf(it) >= from)
    .filter(({ rendition, sample }) => rendition !== '360p' || sample.dts >= (ticks ?? 0))
    .map((it) => {
      // Behind a hole one keyframe more would bring back media that is lost to a single packager.
      const isSeam = it.rendition === '360p' && it.sample.dts === ticks
      return isSeam ? { ...it, sample: { ...it.sample, isKeyframe: true } } : it
    })
}

function encodedFrom({ openTakes = [] }: PackagingPoint): number | undefined {
  return openTakes.map((it) => missingTicks(it).get('360p')).find((it) => it !== undefined)
}

/** All that the packagers have listed, the parts before a seam from whom had their bytes. */
function listedTogether({ rigs }: Relay, rendition: string) {
  const numbers = new Map<number, ReturnType<typeof describeSegment>>()
  for (const [index, rig] of rigs.entries()) {
    for (const segment of rig.packager.playlist(rendition)?.segments ?? []) {
      const listed = describeSegment(segment)
      const before = numbers.get(segment.number)
      for (const [at, part] of (before?.parts ?? []).entries()) {
        if (!listed.isGap) expect(listed.parts[at]).toMatchObject({ ...part, bytes: '' })
        listed.parts[at] = part
      }
      if (listed.isGap) listed.parts = []
      if (before) expect(index).toBeGreaterThan(0)
      numbers.set(segment.number, listed)
    }
  }
  return [...numbers.values()]
}

/** The part in which an encoder has begun anew opens with a keyframe. */
function withoutSeams(
  segment: ReturnType<typeof describeSegment>,
  seams: readonly (number | undefined)[],
): unknown {
  const parts = segment.parts.map((it) =>
    seams.includes(it.id) ? { ...it, isIndependent: true, bytes: '' } : it,
  )
  return { ...segment, parts }
}

function expectGoesOn(scene: Scene, cuts: readonly number[]): void {
  const whole = run(scene)
  const together = relay(scene, cuts)
  expect(together.rigs.flatMap(numberBreaches)).toEqual([])
  const isEncoded = scene.cutting === 'source-keyframes'
  const seams = isEncoded ? together.points.map((it) => it.partIds?.['360p']) : []
  for (const name of namesOf(scene)) {
    const expected = (whole.packager.playlist(name)?.segments ?? []).map(describeSegment)
    const compared = (it: ReturnType<typeof describeSegment>) =>
      withoutSeams(it, name === '360p' ? seams : [])
    expect(listedTogether(together, name).map(compared)).toEqual(expected.map(compared))
  }
  const committed = together.rigs.flatMap((it) => it.committed)
  expect(committedIn(committed)).toEqual(committedIn(whole.committed))
  const last = together.rigs.at(-1)!.packager
  const kept = new Set(last.takes.map((it) => it.name))
  const takes = whole.packager.takes.filter((it) => kept.has(it.name))
  expect(last.takes.map(describeTake)).toEqual(takes.map(describeTake))
}

/** In each rendition every number once. */
function committedIn(committed: PackagerRig['committed']): string[] {
  return committed.map(({ segment }) => `${segment.rendition.name} ${segment.number}`).sort()
}

function describeTake({
  name,
  number,
  firstNumber,
  startSeconds,
  endSeconds,
  isRegular,
}: PackagedTake) {
  return { name, number, firstNumber, startSeconds, endSeconds, isRegular }
}

function partition({ packager }: PackagerRig, rendition: string, fromNumber = 0): unknown[] {
  return (packager.playlist(rendition)?.segments ?? [])
    .filter((it) => it.number >= fromNumber)
    .map(describeSegment)
}

function describeSegment(segment: PackagedSegment) {
  return {
    number: segment.number,
    startTicks: segment.startTicks,
    durationTicks: segment.durationTicks,
    isGap: segment.isGap,
    keyframeBytes: segment.keyframeBytes,
    parts: segment.parts.map(({ elsewhereBytes: _, ...it }) => {
      return { ...it, bytes: it.bytes.toString('base64') }
    }),
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

  test('packagers that go on after each other list what one would have', () => {
    const count = (scene: Scene) => deliveriesOf(scene).length
    const cuts = fc.array(fc.double({ min: 0, max: 0.999, noNaN: true }), {
      minLength: 1,
      maxLength: 6,
    })
    fc.assert(
      fc.property(scenes, cuts, (scene, places) => {
        const at = places.map((it) => Math.floor(it * count(scene))).sort((a, b) => a - b)
        for (const cut of at) expectGoesOn(scene, [cut])
        expectGoesOn(scene, at)
      }),
      { numRuns: 100 },
    )
  })

  test.each(hardScenes)('and after any sample, where cutting is hard: %#', (scene) => {
    const step = 7
    const count = deliveriesOf(scene).length
    for (let cut = 0; cut < count; cut += step) expectGoesOn(scene, [cut])
  })
})
