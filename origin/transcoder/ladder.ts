// Which renditions a source gets: the rungs at or below it, never above, the source standing in for its own.
import { z } from 'zod'

export const ladderSchema = z.strictObject({
  name: z.string().min(1),
  rungs: z
    .array(
      z.strictObject({
        height: z.int().min(64).max(4320),
        videoBitsPerSecond: z.int().min(50_000).max(200_000_000),
      }),
    )
    .max(10)
    .refine((rungs) => new Set(rungs.map((rung) => rung.height)).size === rungs.length, {
      message: 'two rungs have the same height',
    }),
  audioBitsPerSecond: z.int().min(16_000).max(640_000).default(128_000),
  preset: z
    .enum(['ultrafast', 'superfast', 'veryfast', 'faster', 'fast', 'medium'])
    .default('superfast'),
})
export type Ladder = z.infer<typeof ladderSchema>

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
