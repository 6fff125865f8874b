// Takes one after another, as reconnects, restarts and pressure make them.
import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
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

type Event = { at: number; run: () => void }

test('numbers, parts and times go on over takes, holes, lags and dropped renditions', () => {
  fc.assert(
    fc.property(scripts, (script) => {
      const rig = packagerRig()
      const { packager } = rig
      const events: Event[] = []
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
        const start = from
        const end = start + it.seconds
        events.push({
          at: start,
          run: () => {
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
            events.push({ at: time + lag, run: () => packager.push(name, rendition, sample) })
          }
        }
        if (it.dropAfter !== undefined && it.names.includes('360p') && plan.leader !== '360p') {
          const at = Math.min(start + it.dropAfter, end) + it.lag
          events.push({ at, run: () => packager.dropRendition(name, '360p') })
        }
        events.push({ at: end + it.lag, run: () => packager.endTake(name) })
        from = end + it.pause
      }
      events.sort((a, b) => a.at - b.at)
      for (const event of events) event.run()
      packager.end()

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
