// Which renditions a source gets: the rungs at or below it, never above, the source standing in for its own. What is
// copied goes from the publisher into the packager as it is; the rest is made by `LiveLadder`.
import type { Ladder } from '../../config/ladder.ts'

export interface SourcePicture {
  width: number
  height: number
}

export interface PlannedVideo {
  /** `720p`: names in playlists and URLs. */
  name: string
  width: number
  height: number
  /** Copied from the publisher, not encoded. */
  isCopied: boolean
  isSource: boolean
  /** Cap of the encoder; 0 where the source is copied. */
  videoBitsPerSecond: number
}

export interface VideoPlanOptions {
  /** False when the publisher's keyframes lie too far apart to cut the source at them. */
  canCopySource: boolean
  /** No rung gets more; 0 where it is not known. */
  sourceBitsPerSecond: number
}

/** Below this a claim about the source is not believed. */
const leastSourceBitsPerSecond = 100_000

/** From the tallest down; the first is the source. */
export function planVideo(
  ladder: Ladder,
  source: SourcePicture,
  { canCopySource, sourceBitsPerSecond }: VideoPlanOptions,
): PlannedVideo[] {
  const rungs = [...ladder.rungs].sort((a, b) => b.height - a.height)
  const nearest = rungs.find((rung) => rung.height <= source.height) ?? rungs.at(-1)
  const planned: PlannedVideo[] = [
    {
      name: `${source.height}p`,
      width: canCopySource ? source.width : even(source.width),
      height: canCopySource ? source.height : even(source.height),
      isCopied: canCopySource,
      isSource: true,
      videoBitsPerSecond: canCopySource
        ? 0
        : Math.max(sourceBitsPerSecond, nearest?.videoBitsPerSecond ?? 0, 500_000),
    },
  ]
  const most = sourceBitsPerSecond >= leastSourceBitsPerSecond ? sourceBitsPerSecond : Infinity
  for (const rung of rungs) {
    if (rung.height >= source.height) continue
    planned.push({
      name: `${rung.height}p`,
      width: even((source.width * rung.height) / source.height),
      height: even(rung.height),
      isCopied: false,
      isSource: false,
      videoBitsPerSecond: Math.min(rung.videoBitsPerSecond, most),
    })
  }
  return planned
}

/** H.264 in 4:2:0 has no odd sides. */
function even(pixels: number): number {
  return Math.max(2, Math.round(pixels / 2) * 2)
}
