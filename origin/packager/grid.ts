// The settings that a broadcast lives with for good: how long its segments are, exactly, and how long a part
// may be.
//
// RTMP tells time in milliseconds. Over six hours a frame that is taken for 33.37 ms where it is 1001/30 ms
// moves the grid by a second, so a measured rate is first matched with those that cameras and encoders have.

/** Rates that occur, as [frames, seconds]. */
const knownRates: readonly (readonly [number, number])[] = [
  [24_000, 1001],
  [30_000, 1001],
  [48_000, 1001],
  [60_000, 1001],
  [120_000, 1001],
  [15_000, 1001],
  [25, 2],
  [15, 2],
  ...Array.from({ length: 144 }, (_, i) => [i + 1, 1] as const),
]

/** Both ends of what is measured are rounded or cut to milliseconds. */
const clockErrorSeconds = 0.0011

/** Millisecond times make a part of n frames a little longer or shorter than n frames. */
const partSlackSeconds = 0.002
/** Of 85 % (RFC 8216bis §4.4.4.9), with room for the same. */
const minimumFill = 0.87
/** AAC at 44.1 and 48 kHz: sound that comes later must fit as well. */
const usualAudioFrames = [1024 / 44_100, 1024 / 48_000]
const epsilon = 1e-9

/** The frame that so many frames in so much time, by a millisecond clock, are made of. */
export function exactFrameSeconds(seconds: number, frames: number, hintPerSecond?: number): number {
  const fits = knownRates
    .map(([count, time]) => time / count)
    .filter((frame) => Math.abs(frame * frames - seconds) <= clockErrorSeconds)
  if (fits.length === 0) return seconds / frames
  const mean = seconds / frames
  const hinted =
    hintPerSecond === undefined
      ? undefined
      : nearest(fits, (frame) => Math.abs(frame * hintPerSecond - 1))
  // A hint is believed where it is a known rate and the measure does not speak against it.
  if (hinted !== undefined && Math.abs(hinted * hintPerSecond! - 1) < 0.0004) return hinted
  return nearest(fits, (frame) => Math.abs(frame - mean))
}

/** The smallest multiple of the GOP that is at least so long; exact where the rate is a known one. */
export function chooseSegmentSeconds(
  gopSeconds: number,
  frames: number,
  minimumSeconds: number,
  hintPerSecond?: number,
): number {
  const gop = exactFrameSeconds(gopSeconds, frames, hintPerSecond) * frames
  return gop * Math.max(1, Math.ceil(minimumSeconds / gop - 1e-6))
}

export interface PartTargetOptions {
  partSeconds: number
  /** Of one sample of each track. */
  frameSeconds: readonly number[]
}

/** The shortest part, from `partSeconds` on, that whole samples of every track fill well. */
export function choosePartTarget({ partSeconds, frameSeconds }: PartTargetOptions): number {
  const frames = [...frameSeconds, ...usualAudioFrames].filter((frame) => frame > 0)
  const candidates = [partSeconds]
  for (const frame of frames) {
    const from = Math.ceil(partSeconds / frame - epsilon)
    for (let n = from; n <= from + 32; n++) candidates.push(n * frame)
  }
  candidates.sort((a, b) => a - b)
  const fits = (part: number) =>
    frames.every((frame) => {
      const filled = Math.floor(part / frame + epsilon) * frame
      return filled >= minimumFill * (part + partSlackSeconds)
    })
  const part = candidates.find(fits) ?? Math.max(partSeconds, ...frames)
  return Math.ceil((part + partSlackSeconds) * 1000 - 1e-6) / 1000
}

/** Timestamps in milliseconds blur the rate: 29.99 is 30, and 29.965 is 29.97. */
export function roundedRate(framesPerSecond: number): number {
  const known = [23.976, 24, 25, 29.97, 30, 48, 50, 59.94, 60, 100, 119.88, 120]
  const rate = nearest(known, (it) => Math.abs(it - framesPerSecond))
  return Math.abs(rate - framesPerSecond) <= rate * 0.002
    ? rate
    : Math.round(framesPerSecond * 100) / 100
}

function nearest(values: readonly number[], distance: (value: number) => number): number {
  return values.reduce((best, value) => (distance(value) < distance(best) ? value : best))
}
