// What a live broadcast offers as a whole: the renditions that are made now, with their bitrates and codecs as
// measured over the listed segments.
import type { LiveBroadcast, PackagedSegment, PackagedTake } from './live-broadcast.ts'
import { type LiveWindow, liveWindowOf, secondsOf } from './live-window.ts'
import type { PeakRates } from './peak-rates.ts'
import type { OfferedRendition } from './presentation.ts'

export interface LivePresentation {
  /** Whose renditions they are. */
  take: PackagedTake
  /** From the tallest down. */
  video: readonly OfferedRendition[]
  audio: OfferedRendition | undefined
  /** The lowest picture with the bitrates of its keyframes alone. */
  keyframes: OfferedRendition | undefined
}

/** The newest take whose renditions are all known and all listed. */
export function offeredTake(broadcast: LiveBroadcast): PackagedTake | undefined {
  return broadcast.takes.findLast(
    (take) =>
      take.isComplete &&
      take.renditions.length > 0 &&
      take.renditions.every((it) => liveWindowOf(broadcast, it.name)),
  )
}

export function livePresentation(broadcast: LiveBroadcast): LivePresentation | undefined {
  const { peaks } = broadcast
  const take = offeredTake(broadcast)
  if (!take) return undefined
  const offered = take.renditions.map((it): OfferedRendition => {
    const window = liveWindowOf(broadcast, it.name)!
    const rates = measure(window, it, (segment) => segment.sizeBytes, peaks)
    return { ...it, ...rates, codecs: codecsOf(window, it.codec) }
  })
  const video = offered.filter((it) => it.kind === 'video').sort((a, b) => b.height - a.height)
  const lowest = video.at(-1)
  return {
    take,
    video,
    audio: offered.find((it) => it.kind === 'audio'),
    keyframes: lowest && keyframesOf(liveWindowOf(broadcast, lowest.name)!, lowest, peaks),
  }
}

/** To be called as segments close, so that a peak counts also where nobody asked while it was listed. */
export function measurePeaks(broadcast: LiveBroadcast): void {
  const { renditions = [] } = offeredTake(broadcast) ?? {}
  const raise = (
    { name, nominalBitsPerSecond }: { name: string; nominalBitsPerSecond: number },
    { complete, settings }: LiveWindow,
    bytesOf: (segment: PackagedSegment) => number,
  ) => {
    const peak = peakOf(complete, bytesOf, settings.targetDurationSeconds)
    if (peak > 0) broadcast.peaks.raise(name, Math.max(peak, nominalBitsPerSecond))
  }
  for (const it of renditions) {
    const window = liveWindowOf(broadcast, it.name)!
    raise(it, window, (segment) => segment.sizeBytes)
    const keyframes = { name: keyframesName(it.name), nominalBitsPerSecond: 0 }
    if (it.kind === 'video') raise(keyframes, window, (segment) => segment.keyframeBytes)
  }
}

function keyframesName(rendition: string): string {
  return `${rendition}-iframes`
}

function keyframesOf(
  window: LiveWindow,
  lowest: OfferedRendition,
  peaks: PeakRates,
): OfferedRendition | undefined {
  if (!window.complete.some((it) => it.keyframeBytes > 0)) return undefined
  const measured = { name: keyframesName(lowest.name), nominalBitsPerSecond: 0 }
  return { ...lowest, ...measure(window, measured, (segment) => segment.keyframeBytes, peaks) }
}

interface Rates {
  peakBitsPerSecond: number
  averageBitsPerSecond: number
}

function measure(
  { complete, open, settings, playlist }: LiveWindow,
  { name, nominalBitsPerSecond }: { name: string; nominalBitsPerSecond: number },
  bytesOf: (segment: PackagedSegment) => number,
  peaks: PeakRates,
): Rates {
  const listed = complete.filter((it) => !it.isGap)
  // While a publisher is away, the last that there was.
  const media = listed.length > 0 || open ? listed : playlist.segments.filter((it) => !it.isGap)
  const average = rateOf(media, bytesOf)
  if (average > 0) {
    const measured = peakOf(complete, bytesOf, settings.targetDurationSeconds)
    const peak = Math.max(average, measured, nominalBitsPerSecond)
    return { peakBitsPerSecond: peaks.raise(name, peak), averageBitsPerSecond: average }
  }
  // The first parts of a segment, the keyframe in front, are too heavy to say much, or to be remembered as a peak.
  const guess = nominalBitsPerSecond || Math.max(1, open ? rateOf([open], bytesOf) : 0)
  return { peakBitsPerSecond: guess, averageBitsPerSecond: guess }
}

/** Bits per second; 0 where there is nothing. */
export function rateOf(
  segments: readonly PackagedSegment[],
  bytesOf = (segment: PackagedSegment) => segment.sizeBytes,
): number {
  const seconds = segments.reduce((sum, it) => sum + secondsOf(it), 0)
  const bytes = segments.reduce((sum, it) => sum + bytesOf(it), 0)
  return seconds > 0 ? (bytes * 8) / seconds : 0
}

/** The highest bitrate of any run of segments of 0.5 to 1.5 target durations (RFC 8216bis §4.4.6.2). */
function peakOf(
  segments: readonly PackagedSegment[],
  bytesOf: (segment: PackagedSegment) => number,
  targetDurationSeconds: number,
): number {
  let peak = 0
  for (const from of segments.keys()) {
    let seconds = 0
    let bytes = 0
    for (let i = from; i < segments.length; i++) {
      const segment = segments[i]!
      seconds += secondsOf(segment)
      bytes += bytesOf(segment)
      if (segment.isGap || seconds > 1.5 * targetDurationSeconds) break
      if (seconds >= 0.5 * targetDurationSeconds) peak = Math.max(peak, (bytes * 8) / seconds)
    }
  }
  return peak
}

/** All that occur among the listed segments, the newest take's own first. */
function codecsOf({ complete, open }: LiveWindow, codec: string): readonly string[] {
  const listed = [...complete, ...(open ? [open] : [])].filter((it) => !it.isGap)
  return [...new Set([codec, ...listed.map((it) => it.rendition.codec)])]
}
