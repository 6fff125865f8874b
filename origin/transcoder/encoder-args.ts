// The argument list of the one ffmpeg that makes the encoded renditions: fragmented MP4 comes in on stdin, one
// fragmented MP4 per rendition goes out on a pipe of its own. Pure: what was planned goes in, strings come out;
// nothing that a publisher sent is ever among them.
//
// Times pass through unchanged, to the tick: `-copyts` on the way in, `-fps_mode passthrough` and the source's own
// time base in the encoder, `frag_discont` in the muxer, which else would count from zero in every output.
import type { AudioTrackConfig, VideoTrackConfig } from '../../media/mp4/track.ts'

export interface EncoderRung {
  /** `480p` */
  name: string
  width: number
  height: number
  videoBitsPerSecond: number
  /** Presentation time of its first frame, at 90 kHz, exact; undefined: the first that comes. */
  fromTicks?: number | undefined
}

/** Where an encoded picture may be entered. */
export type KeyframeRule =
  /** Exactly where the source may. */
  | { kind: 'source' }
  /** On a grid of our own, at 90 kHz; it begins with the first frame that comes. */
  | { kind: 'grid'; firstTicks: number; everyTicks: number }

export interface EncoderPlan {
  video: VideoTrackConfig | undefined
  /** Only where sound must be encoded. */
  audio?: AudioTrackConfig | undefined
  /** From the tallest down. */
  rungs: readonly EncoderRung[]
  /** Presentation time of the first encoded sound, at `encodedSampleRate`; undefined: the first that comes. */
  audioFromTicks?: number | undefined
  /** `audio` unless it is given. */
  encodedAudioName?: string | undefined
  keyframes: KeyframeRule
  /** As measured. Bits are shared out by it; undefined: what the source's headers claim, or 25. */
  framesPerSecond?: number | undefined
  preset: string
  audioBitsPerSecond: number
}

/** The first output's pipe. */
export const firstOutputFd = 3
/** Sound is made at this rate, whatever comes in. */
export const encodedSampleRate = 48_000
/** Samples in an AAC frame. */
export const encodedFrameSamples = 1_024

/** Half a frame at 60 per second: a frame that comes so much before an instant of the grid is the one meant. */
export const gridToleranceTicks = 750
const ticksPerSecond = 90_000

/** What comes out, in the order of the pipes. */
export function encodedNames(plan: EncoderPlan): string[] {
  const names = plan.video ? plan.rungs.map((it) => it.name) : []
  return plan.audio ? [...names, plan.encodedAudioName ?? 'audio'] : names
}

export function encoderArgs(plan: EncoderPlan): string[] {
  const rungs = plan.video ? plan.rungs : []
  return [
    ...inputArgs(),
    ...(rungs.length > 0 ? ['-filter_complex', pictureFilters(rungs)] : []),
    // A graph of its own: a graph waits for the first frame of each of its inputs.
    ...(plan.audio ? ['-filter_complex', soundFilters(plan)] : []),
    ...rungs.flatMap((rung, index) => [
      ...['-map', `[v${index}]`, ...videoArgs(plan, rung)],
      ...muxerArgs(firstOutputFd + index),
    ]),
    ...(plan.audio
      ? ['-map', '[a]', ...audioArgs(plan), ...muxerArgs(firstOutputFd + rungs.length)]
      : []),
  ]
}

function inputArgs(): string[] {
  return [
    '-hide_banner',
    '-nostdin',
    '-nostats',
    ...['-loglevel', 'error'],
    // The init section tells all there is to know about the tracks: no frame is held back to look at it. Never
    // `-fflags nobuffer`: it drops what was read while probing.
    ...['-probesize', '32', '-analyzeduration', '0', '-fpsprobesize', '0'],
    ...['-max_alloc', '268435456'],
    ...['-protocol_whitelist', 'pipe'],
    '-copyts',
    // Each further thread of the decoder would hold back one more frame.
    ...['-threads', '1'],
    ...['-f', 'mp4', '-i', 'pipe:0'],
  ]
}

function pictureFilters(rungs: readonly EncoderRung[]): string {
  const split = `[0:v]split=${rungs.length}${rungs.map((_, index) => `[s${index}]`).join('')}`
  const chains = rungs.map(({ width, height, fromTicks }, index) => {
    const trim = fromTicks === undefined ? '' : `trim=start_pts=${fromTicks},`
    return `[s${index}]${trim}scale=${width}:${height}:flags=bicubic,format=yuv420p[v${index}]`
  })
  return [split, ...chains].join(';')
}

function soundFilters({ audioFromTicks }: EncoderPlan): string {
  // Fills holes and cuts overlaps, so that the frames that come out follow on each other without a gap.
  const even = `aresample=${encodedSampleRate}:async=1,aformat=sample_fmts=fltp:channel_layouts=stereo`
  return `[0:a]${even}${audioFromTicks === undefined ? '' : `,atrim=start_pts=${audioFromTicks}`}[a]`
}

function videoArgs(plan: EncoderPlan, rung: EncoderRung): string[] {
  const rate = String(rung.videoBitsPerSecond)
  return [
    ...['-c:v', 'libx264'],
    ...['-preset', plan.preset],
    ...['-tune', 'zerolatency'],
    ...['-profile:v', rung.height > 480 ? 'high' : 'main'],
    // A capped buffer keeps the announced bandwidth honest.
    ...['-b:v', rate, '-maxrate', rate, '-bufsize', rate],
    ...frameRateArgs(plan.framesPerSecond),
    ...['-sc_threshold', '0', '-g', '100000'],
    ...['-force_key_frames', keyframes(plan.keyframes, rung.fromTicks)],
    ...['-fps_mode', 'passthrough', '-enc_time_base', `1:${ticksPerSecond}`],
    ...['-video_track_timescale', String(ticksPerSecond)],
  ]
}

/** The encoder counts bits per frame, not per second: a wrong rate makes a wrong bandwidth. */
function frameRateArgs(framesPerSecond: number | undefined): string[] {
  if (framesPerSecond === undefined) return []
  return ['-x264-params', `fps=${Math.round(framesPerSecond * 1_000)}/1000`]
}

/**
 * A frame of the grid is one that lies in another cell than the last forced one: nothing adds up over time, and a
 * hole forces one frame, not one per cell of it. ffmpeg's `t` is in seconds since the encoder's first frame, so that
 * frame's time must be known; cells are counted in ticks, half a tick off, so that no rounding decides.
 */
function keyframes(rule: KeyframeRule, fromTicks: number | undefined): string {
  if (rule.kind === 'source') return 'source'
  const { firstTicks, everyTicks } = rule
  const sinceGrid = (fromTicks ?? firstTicks) - firstTicks + gridToleranceTicks + 0.5
  const cell = (time: string) => `floor((${time}*${ticksPerSecond}+${sinceGrid})/${everyTicks})`
  // An encoder that begins inside a cell forces at the next one; its first frame is a keyframe anyway.
  const firstCell = Math.floor(sinceGrid / everyTicks) + 1
  return `expr:if(isnan(prev_forced_t),gte(${cell('t')},${firstCell}),gt(${cell('t')},${cell('prev_forced_t')}))`
}

function audioArgs({ audioBitsPerSecond }: EncoderPlan): string[] {
  return ['-c:a', 'aac', '-b:a', String(audioBitsPerSecond)]
}

function muxerArgs(fd: number): string[] {
  return [
    ...['-avoid_negative_ts', 'disabled'],
    ...['-max_muxing_queue_size', '4096'],
    ...['-f', 'mp4'],
    // cmaf: no edit lists. Without delay_moov the init section is there before the first frame is, and is the same
    // in every run.
    '-movflags',
    '+cmaf+empty_moov+default_base_moof+frag_every_frame+skip_trailer+frag_discont',
    `pipe:${fd}`,
  ]
}
