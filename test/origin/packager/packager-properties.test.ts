// Takes one after another, as reconnects, restarts and pressure make them.
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { packagingPointSchema } from '../../../common/contract/resume-point.ts'
import { MemoryCommitLog } from '../../../origin/packager/commit-log.ts'
import { type PackagerRig, packagerRig, startTake } from '../../support/packager-rig.ts'
import { ruleBreaches } from '../../support/packager-rules.ts'
import { type Scenes, sceneSteps, scenes } from '../../support/packager-scenes.ts'

/** All that a packager lists, or several do, each of which goes on where the one before stood. */
function play(script: Scenes, places: readonly number[] = []): PackagerRig[] {
  const { steps, plans } = sceneSteps(script)
  const commits = new MemoryCommitLog()
  let rig = packagerRig({ commits })
  const rigs = [rig]
  /** Of the takes that a packager has made itself: whom they follow. */
  const before = new Map<string, string>()
  let names = new Map<string, string>()
  const take = (name: string) => names.get(name) ?? name
  const cuts = new Set(places.map((it) => Math.floor(it * steps.length)))
  for (const [index, step] of steps.entries()) {
    const made = rig.takeNumber()
    step.run(rig, take)
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
    for (const { isMedia, run } of steps.slice(0, index + 1)) if (isMedia) run(rig, take)
  }
  rig.packager.end()
  return rigs
}

test('numbers, parts and times go on over takes, holes, lags and dropped renditions', () => {
  fc.assert(
    fc.property(scenes, (script) => {
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
    fc.property(scenes, places, (all, cuts) => {
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
