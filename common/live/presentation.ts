// What a broadcast offers: renditions with their bitrates, and which one stands in where a take lacks a
// rendition that the playlists have promised.
import type { LoggedRendition } from './segment-log.ts'

export interface OfferedRendition extends LoggedRendition {
  peakBitsPerSecond: number
  averageBitsPerSecond: number
  /** All codecs that occur over the takes. */
  codecs: readonly string[]
}

/** The rendition of a take that serves a playlist's name: itself, else the picture nearest in height. */
export function renditionFor<R extends LoggedRendition>(
  take: { renditions: readonly R[] },
  name: string,
): R | undefined {
  const exact = take.renditions.find((it) => it.name === name)
  if (exact) return exact
  const height = /^(\d+)p$/.exec(name)?.[1]
  if (height === undefined) return undefined
  const distance = (it: R) => Math.abs(it.height - Number(height))
  return take.renditions
    .filter((it) => it.kind === 'video')
    .sort((a, b) => distance(a) - distance(b))[0]
}
