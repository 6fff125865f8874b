// The argument list of the ffmpeg that makes what `nearcast publish` sends: FLV in real time on stdout.
export interface PictureOptions {
  /** `WIDTHxHEIGHT`; a file keeps its own where absent. */
  size: string | undefined
  framesPerSecond: number
  videoBitsPerSecond: number
  keyframeSeconds: number
}

export interface SourceOptions extends PictureOptions {
  /** `test` is the test picture. */
  input: string
  loop: boolean
  /** Send the file as it is: it must be H.264 and AAC. */
  copy: boolean
  /** Whether this ffmpeg can write text into a picture. */
  canDrawText: boolean
}

const audioBitsPerSecond = 128_000
const defaultSize = '1280x720'
// The filter graph's own quoting: %{localtime:FORMAT} with its colons escaped once.
const clockText =
  "drawtext=text='%{localtime\\:%T}   %{pts\\:hms}':fontsize=h/12:fontcolor=white:box=1:" +
  'boxcolor=black@0.6:boxborderw=12:x=(w-tw)/2:y=h*0.8'

export function sourceArguments(options: SourceOptions): string[] {
  return [
    ...['-hide_banner', '-nostats', '-nostdin', '-loglevel', 'error'],
    ...(options.input === 'test' ? testInput(options) : fileInput(options)),
    ...(options.copy ? ['-c', 'copy'] : encoding(options)),
    ...['-f', 'flv', '-flvflags', 'no_duration_filesize', 'pipe:1'],
  ]
}

function testInput({ size, framesPerSecond, canDrawText }: SourceOptions): string[] {
  const picture = `testsrc2=size=${size ?? defaultSize}:rate=${framesPerSecond}`
  return [
    ...['-re', '-f', 'lavfi', '-i', canDrawText ? `${picture},${clockText}` : picture],
    // A beep each second, so that picture and sound can be held against each other.
    ...['-re', '-f', 'lavfi', '-i', 'sine=frequency=330:beep_factor=4:sample_rate=48000'],
    ...['-map', '0:v:0', '-map', '1:a:0'],
  ]
}

function fileInput({ input, loop, size, framesPerSecond, copy }: SourceOptions): string[] {
  const scale = size?.replace('x', ':')
  return [
    ...(loop ? ['-stream_loop', '-1'] : []),
    // The prefix keeps a file name from being taken for an option or for another protocol.
    ...['-re', '-i', `file:${input}`],
    ...['-map', '0:v:0?', '-map', '0:a:0?'],
    ...(copy ? [] : ['-r', String(framesPerSecond)]),
    ...(scale && !copy ? ['-vf', `scale=${scale}`] : []),
  ]
}

function encoding(options: SourceOptions): string[] {
  const rate = String(options.videoBitsPerSecond)
  const { keyframeSeconds, framesPerSecond } = options
  return [
    ...['-c:v', 'libx264', '-preset', 'veryfast', '-tune', 'zerolatency', '-pix_fmt', 'yuv420p'],
    ...['-b:v', rate, '-maxrate', rate, '-bufsize', rate],
    ...['-g', String(Math.ceil(keyframeSeconds * framesPerSecond)), '-sc_threshold', '0'],
    ...['-force_key_frames', `expr:gte(t,n_forced*${keyframeSeconds})`],
    ...['-c:a', 'aac', '-b:a', String(audioBitsPerSecond), '-ar', '48000', '-ac', '2'],
  ]
}
