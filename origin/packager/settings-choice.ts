// Chooses the settings of a broadcast from the first samples of its leader.

import type { LiveSettings } from '../../common/live/live-broadcast.ts'
import { minimumTargetDurations } from '../../common/live/live-window.ts'
import type { MediaSample } from '../../media/mp4/track.ts'
import { choosePartTarget, chooseSegmentSeconds, exactFrameSeconds } from './grid.ts'
import type { TakePlan } from './take-state.ts'
import { earlySeconds, openingSeconds } from './take-timeline.ts'

export interface PackagerConfig {
  targetDurationSeconds: number
  partSeconds: number
  segmentSeconds: number
  windowSegments: number
}

export interface ChoiceOptions {
  config: PackagerConfig
  plan: TakePlan
  timescale: number
  /** Of the leader, from the one that opens the first segment on. */
  samples: readonly MediaSample[]
  sampleRates: readonly number[]
  /** No more samples will come. */
  isForced: boolean
}

export type Choice =
  | { kind: 'wait' }
  | { kind: 'long-gop' }
  | { kind: 'chosen'; settings: LiveSettings; framesPerSecond: number }

/** A second keyframe later than this is a long GOP. */
const longGopSeconds = 4.05
/** Shorter GOPs are measured together: millisecond times say too little about one. */
const measuredSeconds = 0.95
/** Frames that tell a rate where the keyframes are our own. */
const enoughFrames = 12
const usualRate = 30

export function chooseSettings(options: ChoiceOptions): Choice {
  const { plan, config, samples, timescale, isForced } = options
  if (plan.cutting === 'audio') return chosen(options, config.segmentSeconds, undefined)
  const first = samples[0]!
  const elapsed = (sample: MediaSample) =>
    openingSeconds(sample, timescale) - openingSeconds(first, timescale)
  const measured = Math.min(samples.length - 1, 240)
  const frameSeconds =
    measured >= enoughFrames
      ? exactFrameSeconds(
          (samples[measured]!.dts - first.dts) / timescale,
          measured,
          plan.framesPerSecond,
        )
      : 1 / (plan.framesPerSecond || usualRate)
  if (plan.cutting === 'own-keyframes') {
    const isKnown = measured >= enoughFrames || plan.framesPerSecond !== undefined || isForced
    return isKnown ? chosen(options, config.segmentSeconds, frameSeconds) : { kind: 'wait' }
  }
  const keyframes = samples.flatMap((it, index) => (it.isKeyframe ? [index] : []))
  const last =
    keyframes.find((index) => elapsed(samples[index]!) >= measuredSeconds) ??
    (isForced ? keyframes.slice(1).at(-1) : undefined)
  if (last !== undefined && elapsed(samples[last]!) <= longGopSeconds) {
    const seconds = elapsed(samples[last]!)
    const frame = exactFrameSeconds(seconds, last, plan.framesPerSecond)
    const count = keyframes.indexOf(last)
    const isEven = keyframes.slice(0, count + 1).every((it, i) => it * count === last * i)
    const gopFrames = isEven ? last / count : last
    const segmentSeconds = chooseSegmentSeconds(
      frame * gopFrames,
      gopFrames,
      config.segmentSeconds - earlySeconds,
      plan.framesPerSecond,
    )
    return chosen(options, segmentSeconds, frame)
  }
  if (isForced) return chosen(options, config.segmentSeconds, frameSeconds)
  return elapsed(samples.at(-1)!) > longGopSeconds ? { kind: 'long-gop' } : { kind: 'wait' }
}

function chosen(
  { config, sampleRates }: ChoiceOptions,
  segmentSeconds: number,
  frameSeconds: number | undefined,
): Choice {
  const targetDurationSeconds = Math.max(config.targetDurationSeconds, Math.round(segmentSeconds))
  const audioFrames = sampleRates.map((rate) => 1024 / rate)
  return {
    kind: 'chosen',
    framesPerSecond: frameSeconds === undefined ? 0 : 1 / frameSeconds,
    settings: {
      targetDurationSeconds,
      partTargetSeconds: choosePartTarget({
        partSeconds: config.partSeconds,
        frameSeconds: frameSeconds === undefined ? audioFrames : [frameSeconds, ...audioFrames],
      }),
      segmentSeconds,
      windowSegments: Math.max(
        config.windowSegments,
        Math.ceil((minimumTargetDurations * targetDurationSeconds) / segmentSeconds),
      ),
    },
  }
}
