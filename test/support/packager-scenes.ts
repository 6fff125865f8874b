// Scenes of takes, holes, lags and dropped renditions for a packager, as steps in the order of time.
import fc from 'fast-check'
import type { TakePlan } from '../../origin/packager/take-state.ts'
import {
  type PackagerRig,
  pictures,
  sounds,
  startTake,
  takePlan,
  timescaleOf,
} from './packager-rig.ts'

const thousandths = (min: number, max: number) =>
  fc.integer({ min: min * 1000, max: max * 1000 }).map((it) => it / 1000)

export const scenes = fc.array(
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

export interface SceneStep {
  /** On the timeline of the broadcast. */
  at: number
  /** Fed again to whoever goes on. */
  isMedia?: boolean
  /** `take` tells under which name a take goes on that a packager has made anew. */
  run: (rig: PackagerRig, take: (name: string) => string) => void
}

export type Scenes = typeof scenes extends fc.Arbitrary<infer One> ? One : never

/** In the order of time, with the plan of each take. */
export function sceneSteps(script: Scenes): { steps: SceneStep[]; plans: Map<string, TakePlan> } {
  const steps: SceneStep[] = []
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
    steps.push({
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
        steps.push({
          at: time + lag,
          isMedia: true,
          run: ({ packager }, take) => packager.push(take(name), rendition, sample),
        })
      }
    }
    if (it.dropAfter !== undefined && it.names.includes('360p') && plan.leader !== '360p') {
      const at = Math.min(start + it.dropAfter, end) + it.lag
      steps.push({
        at,
        run: ({ packager }, take) => packager.dropRendition(take(name), '360p'),
      })
    }
    steps.push({
      at: end + it.lag,
      run: ({ packager }, take) => packager.endTake(take(name)),
    })
    from = end + it.pause
  }
  steps.sort((a, b) => a.at - b.at)
  return { steps, plans }
}
