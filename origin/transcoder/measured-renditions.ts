// What a broadcast is made of now, as it was measured: for the coordinator, and whoever asks it.
import type { Rendition } from '../../common/contract/placement.ts'
import type { LiveBroadcast } from '../../common/live/live-broadcast.ts'
import { rateOf } from '../../common/live/live-presentation.ts'

/** Of the newest take. */
export function measuredRenditions(broadcast: LiveBroadcast): Rendition[] {
  const take = broadcast.takes.findLast((it) => it.isComplete)
  return (take?.renditions ?? []).map((it) => ({
    name: it.name,
    width: it.width,
    height: it.height,
    framesPerSecond: it.framesPerSecond,
    bitsPerSecond: Math.round(bitsPerSecond(broadcast, it.name)),
    codecs: it.codec,
    isSource: it.isSource,
  }))
}

function bitsPerSecond(broadcast: LiveBroadcast, rendition: string): number {
  const segments = broadcast.playlist(rendition)?.segments ?? []
  return rateOf(segments.filter((it) => !it.isGap && !it.isOpen && it.rendition.name === rendition))
}
