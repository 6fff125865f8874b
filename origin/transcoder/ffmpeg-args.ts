// The argument list of the one ffmpeg of a take. Pure: what was planned goes in, strings come out; nothing
// that a publisher sent is ever among them.
import type { PlannedVideo } from './ladder.ts'

export interface FfmpegPlan {
  video: readonly PlannedVideo[]
  /** `undefined`: the publisher sends no sound. */
  audio: { isCopied: boolean; bitsPerSecond: number } | undefined
  preset: string
  segmentSeconds: number
  /** Where the media begins on the timeline of the broadcast. */
  timelineOffsetSeconds: number
}

/** Progress is written to this file descriptor as key=value lines. */
export const progressFd = 3

/** Cuts a little before the full length, so that a keyframe that comes a frame early still closes a segment. */
const earlyCutSeconds = 0.1
/** Sound is cut where the picture is cut: its own length must never be reached. */
const neverSeconds = 86_400
/** The muxer deletes its own names of segments behind this window; ours are links and stay. */
const workWindowSegments = 60

export function ffmpegArgs(plan: FfmpegPlan): string[] {
  return [
    ...inputArgs(),
    ...filterArgs(plan),
    ...plan.video.flatMap((video, index) => videoArgs(plan, video, index)),
    ...audioArgs(plan),
    ...muxerArgs(plan),
  ]
}

function inputArgs(): string[] {
  return [
    '-hide_banner',
    '-nostdin',
    '-nostats',
    ...['-loglevel', 'error'],
    ...['-progress', `pipe:${progressFd}`],
    ...['-stats_period', '0.5'],
    // Probing must see the parameters of both tracks: with less the sound's sample rate is guessed wrong.
    ...['-probesize', '2000000', '-analyzeduration', '300000', '-fpsprobesize', '0'],
    ...['-max_alloc', '268435456'],
    ...['-protocol_whitelist', 'pipe,file'],
    '-copyts',
    ...['-f', 'flv', '-i', 'pipe:0'],
  ]
}

function filterArgs({ video }: FfmpegPlan): string[] {
  const encoded = video.flatMap((it, index) => (it.isCopied ? [] : [{ it, index }]))
  if (encoded.length === 0) return []
  const split = `[0:v]split=${encoded.length}${encoded.map(({ index }) => `[s${index}]`).join('')}`
  const scales = encoded.map(
    ({ it, index }) =>
      `[s${index}]scale=${it.width}:${it.height}:flags=bicubic,format=yuv420p[v${index}]`,
  )
  return ['-filter_complex', [split, ...scales].join(';')]
}

function videoArgs(plan: FfmpegPlan, video: PlannedVideo, index: number): string[] {
  if (video.isCopied) return ['-map', '0:v:0', `-c:v:${index}`, 'copy']
  const rate = String(video.videoBitsPerSecond)
  const option = (name: string, value: string) => [`-${name}:v:${index}`, value]
  return [
    ...['-map', `[v${index}]`],
    ...option('c', 'libx264'),
    ...option('preset', plan.preset),
    ...option('tune', 'zerolatency'),
    ...option('profile', video.height > 480 ? 'high' : 'main'),
    ...option('b', rate),
    // A capped buffer keeps the announced bandwidth honest.
    ...option('maxrate', rate),
    ...option('bufsize', rate),
    ...option('sc_threshold', '0'),
    // Keyframes are forced: where the source has them when it is copied beside us, else on a grid of our own.
    ...option('g', '100000'),
    ...option('force_key_frames', keyframes(plan)),
    // Timestamps pass unchanged, so that all renditions agree to the tick.
    ...option('fps_mode', 'passthrough'),
    ...option('enc_time_base', '1:90000'),
  ]
}

function keyframes({ video, segmentSeconds }: FfmpegPlan): string {
  return video.some((it) => it.isCopied)
    ? 'source'
    : `expr:if(isnan(prev_forced_t),1,gte(t,prev_forced_t+${segmentSeconds}))`
}

function audioArgs({ audio }: FfmpegPlan): string[] {
  if (!audio) return []
  if (audio.isCopied) return ['-map', '0:a:0', '-c:a:0', 'copy']
  const rate = String(audio.bitsPerSecond)
  return ['-map', '0:a:0', '-c:a:0', 'aac', '-b:a:0', rate, '-ac:a:0', '2', '-ar:a:0', '48000']
}

function muxerArgs(plan: FfmpegPlan): string[] {
  const cut = (plan.segmentSeconds - earlyCutSeconds).toFixed(3)
  const hasVideo = plan.video.length > 0
  const sets = [
    ...(hasVideo ? [`id=0,seg_duration=${cut},streams=v`] : []),
    ...(plan.audio
      ? [`id=${hasVideo ? 1 : 0},seg_duration=${hasVideo ? neverSeconds : cut},streams=a`]
      : []),
  ]
  return [
    ...['-output_ts_offset', plan.timelineOffsetSeconds.toFixed(3)],
    ...['-avoid_negative_ts', 'disabled'],
    ...['-max_muxing_queue_size', '4096'],
    ...['-f', 'dash', '-use_template', '1', '-use_timeline', '1'],
    ...['-window_size', '3', '-extra_window_size', String(workWindowSegments)],
    ...['-adaptation_sets', sets.join(' ')],
    ...['-init_seg_name', '$RepresentationID$-init.mp4'],
    ...['-media_seg_name', '$RepresentationID$-$Number$.m4s'],
    // cmaf: no edit lists; frag_discont: times as they are, not from zero.
    ...['-format_options', 'movflags=+cmaf+frag_discont+skip_sidx:video_track_timescale=90000'],
    // The muxer's own manifest; it runs in the work folder, so that no path is among the arguments.
    'unused.mpd',
  ]
}
