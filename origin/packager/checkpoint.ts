// Where cutting stands: with it and the samples from `neededSeconds` on, another packager goes on inside the open
// segments, with the same numbers and parts and, for the source, the same bytes.

import type { OpenTake, OpenTrack, PackagingPoint } from '../../common/contract/resume-point.ts'
import type { PeakRates } from '../../common/live/peak-rates.ts'
import type { PublishedTakes } from './published-takes.ts'
import type { TakeSequence } from './take-sequence.ts'
import type { TakeState, Track } from './take-state.ts'

export function checkpointOf(
  published: PublishedTakes,
  sequence: TakeSequence,
  peaks: PeakRates,
): PackagingPoint {
  const partIds: Record<string, number> = {}
  for (const [name, { next }] of published.partIds) partIds[name] = next
  return {
    nextNumber: sequence.nextNumber,
    takes: published.takeCount,
    endSeconds: sequence.endSeconds,
    ...(sequence.settings && {
      settings: sequence.settings,
      framesPerSecond: sequence.framesPerSecond,
    }),
    isIrregular: sequence.isIrregular,
    partIds,
    kinds: Object.fromEntries(published.kinds),
    peaks: peaks.all(),
    openTakes: sequence.open.map(openTakeOf),
  }
}

function openTakeOf(take: TakeState, _: number, all: readonly TakeState[]): OpenTake {
  const { plan, fromSeconds, ordinal, isClosing, endAtSeconds, timeline, continuationOf } = take
  const made = all.find((it) => it.successor === take)
  const before = continuationOf && all.includes(continuationOf) ? continuationOf : undefined
  const tracks = [...take.tracks].map(([name, track]) => [name, openTrackOf(track)] as const)
  const numbers = [...take.tracks.values()].map(
    (it) => it.cutter?.number ?? it.resume?.number ?? timeline?.firstNumber ?? 0,
  )
  return {
    plan: { ...plan, renditions: [...plan.renditions] },
    fromSeconds,
    ordinal,
    isClosing,
    endAtSeconds,
    successorOf: made?.plan.name,
    continuationOf: before?.plan.name,
    timeline: timeline?.state(Math.min(...numbers)),
    tracks: Object.fromEntries(tracks),
  }
}

function openTrackOf({ rendition, isOver, cutter, resume }: Track): OpenTrack {
  return {
    ...(rendition && {
      rendition: {
        init: rendition.init.toString('base64'),
        track: rendition.track,
        framesPerSecond: rendition.framesPerSecond,
      },
    }),
    isOver,
    state: cutter ? cutter.state() : resume,
  }
}
