// Takes one after another, as reconnects, restarts and pressure make them.
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { packagingPointSchema } from '../../../common/contract/resume-point.ts'
import { MemoryCommitLog } from '../../../origin/packager/commit-log.ts'
import type { TakePlan } from '../../../origin/packager/take-state.ts'
import {
  type PackagerRig,
  packagerRig,
  pictures,
  sounds,
  startTake,
  takePlan,
  timescaleOf,
} from '../../support/packager-rig.ts'
import { ruleBreaches } from '../../support/packager-rules.ts'

const thousandths = (min: number, max: number) =>
  fc.integer({ min: min * 1000, max: max * 1000 }).map((it) => it / 1000)

const scripts = fc.array(
  fc.record({
    seconds: fc.integer({ min: 1, max: 9 }),
    /** 0 where the next take continues this one without a hole. */
    pause: fc.oneof(fc.constant(0), thousandths(0.02, 12)),
    names: fc.constantFrom<string[]>(
      ['720p', '360p', 'audio'],
      ['720p', '480p', '360p', 'audio'],
      ['720p', 'audio'],
      ['audio'],
    ),
    leader: fc.constantFrom('source' as const, 'encoded' as const),
    gopFrames: fc.constantFrom(30, 60, 75, 40, 300),
    lag: thousandths(0, 1.5),
    dropAfter: fc.option(thousandths(0, 8), { nil: undefined }),
  }),
  { minLength: 1, maxLength: 6 },
)

interface Event {
  at: number
  /** Fed again to whoever goes on. */
  isMedia?: boolean
  run: (rig: PackagerRig, take: (name: string) => string) => void
}

type Script = typeof scripts extends fc.Arbitrary<infer One> ? One : never

function eventsOf(script: Script): { events: Event[]; plans: Map<string, TakePlan> } {
  const events: Event[] = []
  const plans = new Map<string, TakePlan>()
  let from = 10
  for (const [index, it] of script.entries()) {
    const name = `take-${index + 1}`
    const isAudioOnly = it.names.length === 1
    const isSource = it.leader === 'source' && !isAudioOnly
    const base = { name, number: index + 1, names: it.names }
    const plan = isAudioOnly
      ? takePlan({ ...base, cutting: 'audio' })
      : takePlan({
          ...base,
          leader: isSource ? '720p' : it.names.at(-2)!,
          cutting: isSource ? 'source-keyframes' : 'own-keyframes',
        })
    plans.set(name, plan)
    const start = from
    const end = start + it.seconds
    events.push({
      // Before its media, however times are rounded.
      at: start - 1e-6,
      run: ({ packager }) => {
        packager.fillGaps(start - 0.5)
        startTake(packager, plan, Math.max(start, packager.endSeconds))
      },
    })
    for (const rendition of it.names) {
      const isKeyframe = (frame: number) => frame % it.gopFrames === 0
      const samples =
        rendition === 'audio'
          ? sounds(48_000, start, it.seconds)
          : pictures({
              framesPerSecond: 30,
              fromSeconds: start,
              seconds: it.seconds,
              isKeyframe,
            })
      const lag = rendition === '720p' ? 0 : it.lag
      for (const sample of samples) {
        const time = sample.dts / timescaleOf(rendition)
        if (rendition === '360p' && time - start > (it.dropAfter ?? 100)) continue
        events.push({
          at: time + lag,
          isMedia: true,
          run: ({ packager }, take) => packager.push(take(name), rendition, sample),
        })
      }
    }
    if (it.dropAfter !== undefined && it.names.includes('360p') && plan.leader !== '360p') {
      const at = Math.min(start + it.dropAfter, end) + it.lag
      events.push({
        at,
        run: ({ packager }, take) => packager.dropRendition(take(name), '360p'),
      })
    }
    events.push({
      at: end + it.lag,
      run: ({ packager }, take) => packager.endTake(take(name)),
    })
    from = end + it.pause
  }
  events.sort((a, b) => a.at - b.at)
  return { events, plans }
}

/** All that a packager lists, or several do, each of which goes on where the one before stood. */
function play(script: Script, places: readonly number[] = []): PackagerRig[] {
  const { events, plans } = eventsOf(script)
  const commits = new MemoryCommitLog()
  let rig = packagerRig({ commits })
  const rigs = [rig]
  /** Of the takes that a packager has made itself: whom they follow. */
  const before = new Map<string, string>()
  let names = new Map<string, string>()
  const take = (name: string) => names.get(name) ?? name
  const cuts = new Set(places.map((it) => Math.floor(it * events.length)))
  for (const [index, event] of events.entries()) {
    const made = rig.takeNumber()
    event.run(rig, take)
    if (rig.takeNumber() !== made) {
      const takes = rig.packager.takes.map((it) => it.name)
      const name = `auto-${rig.takeNumber()}`
      const open = rig.packager.checkpoint().openTakes?.find((it) => it.plan.name === name)
      before.set(name, open?.successorOf ?? takes[takes.indexOf(name) - 1]!)
    }
    if (!cuts.has(index)) continue
    const json = JSON.stringify(rig.packager.checkpoint())
    const resume = packagingPointSchema.parse(JSON.parse(json))
    rig = packagerRig({ commits, resume, takeNumber: rig.takeNumber() })
    rigs.push(rig)
    names = new Map()
    for (const open of resume.openTakes ?? []) {
      if (open.successorOf !== undefined) continue
      let root = open.plan.name
      while (before.has(root)) root = before.get(root)!
      names.set(root, open.plan.name)
      startTake(rig.packager, { ...plans.get(root)!, ...open.plan }, open.fromSeconds)
    }
    for (const { isMedia, run } of events.slice(0, index + 1)) if (isMedia) run(rig, take)
  }
  rig.packager.end()
  return rigs
}

test('numbers, parts and times go on over takes, holes, lags and dropped renditions', () => {
  fc.assert(
    fc.property(scripts, (script) => {
      const rig = play(script)[0]!
      const { packager } = rig
      const frameSeconds = { '720p': 1 / 30, '480p': 1 / 30, '360p': 1 / 30, audio: 1024 / 48_000 }
      const breaches = ruleBreaches(rig, {
        frameSeconds,
        hasEvenFrames: false,
        allowedFault: /no keyframe/,
      })
      expect(breaches).toEqual([])
      const last = packager.playlistNames.map((it) => packager.playlist(it)?.segments.at(-1))
      expect(new Set(last.map((it) => it?.number)).size).toBeLessThanOrEqual(1)
      expect(last.some((it) => it?.isOpen)).toBe(false)
    }),
    { numRuns: 200 },
  )
})

test('packagers that go on after each other list what one would have', () => {
  const places = fc.array(fc.double({ min: 0, max: 0.999, noNaN: true }), {
    minLength: 1,
    maxLength: 4,
  })
  fc.assert(
    fc.property(scripts, places, (all, cuts) => {
      // What still waits for its take to begin, of a rendition that is dropped, is given up with the packager.
      const script = all.map((it) =>
        (it.dropAfter ?? 9) < 3 ? { ...it, dropAfter: undefined } : it,
      )
      const whole = play(script)
      const together = play(script, cuts)
      expect(partsOf(together)).toEqual(partsOf(whole))
    }),
    { numRuns: 300 },
  )
})

/** By rendition: whose number each segment is, and the parts that it had, with the bytes of whoever had them. */
function partsOf(rigs: readonly PackagerRig[]): unknown {
  const listed = new Map<string, unknown>()
  for (const { committed } of rigs) {
    for (const { segment } of committed) {
      const { number, rendition, take, isGap, startTicks, durationTicks, sizeBytes } = segment
      const parts = segment.parts.map((it) => [it.id, it.startTicks, it.durationTicks, it.isGap])
      const facts = { take: take.name, isGap, startTicks, durationTicks, sizeBytes, parts }
      expect(listed.has(`${rendition.name} ${number}`)).toBe(false)
      listed.set(`${rendition.name} ${number}`, facts)
    }
  }
  return Object.fromEntries(listed)
}
