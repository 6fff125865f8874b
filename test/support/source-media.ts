// Media as a publisher sends it, made by ffmpeg and read into samples: what the encoders are fed in tests.
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { findBox } from '../../media/mp4/boxes.ts'
import { type FragmentEvent, FragmentReader } from '../../media/mp4/fragment-reader.ts'
import { writeFragment } from '../../media/mp4/fragment-writer.ts'
import type { AudioTrackConfig, MediaSample, VideoTrackConfig } from '../../media/mp4/track.ts'

const run = promisify(execFile)

export interface SourceOptions {
  seconds: number
  size?: string
  framesPerSecond?: number
  gopFrames?: number
  bFrames?: number
  sampleRate?: number
}

export interface SourceVideo {
  track: VideoTrackConfig
  /** In decoding order; a keyframe's dts is its presentation time. The first is at ten seconds. */
  samples: MediaSample[]
}

export interface SourceAudio {
  track: AudioTrackConfig
  samples: MediaSample[]
}

const fragments = [
  '-f',
  'mp4',
  '-movflags',
  'frag_every_frame+empty_moov+default_base_moof',
  'pipe:1',
]
const firstSeconds = 10

export async function sourceVideo(options: SourceOptions): Promise<SourceVideo> {
  const { seconds, size = '160x90', framesPerSecond = 30, gopFrames = 30, bFrames = 0 } = options
  const events = await record([
    ...['-f', 'lavfi', '-i', `testsrc2=size=${size}:rate=${framesPerSecond}`, '-t', `${seconds}`],
    ...['-c:v', 'libx264', '-preset', 'veryfast', '-pix_fmt', 'yuv420p', '-threads', '1'],
    ...['-g', `${gopFrames}`, '-sc_threshold', '0', '-bf', `${bFrames}`],
    ...['-video_track_timescale', '90000', ...fragments],
  ])
  const { init, samples } = split(events)
  const first = samples[0]!
  // As the input reader does: a keyframe's decode time is when it is shown.
  const shift = firstSeconds * 90_000 - first.dts
  return {
    track: {
      kind: 'video',
      timescale: 90_000,
      codec: init.track.codec,
      width: init.track.width,
      height: init.track.height,
      config: boxBody(init.bytes, 'avcC', 78),
    },
    samples: samples.map((it) => ({ ...it, dts: it.dts + shift, cts: it.cts - first.cts })),
  }
}

export async function sourceAudio(options: SourceOptions): Promise<SourceAudio> {
  const { seconds, sampleRate = 44_100 } = options
  const events = await record([
    ...['-f', 'lavfi', '-i', `sine=sample_rate=${sampleRate}`, '-t', `${seconds}`],
    ...['-c:a', 'aac', '-b:a', '64k', '-ac', '1', ...fragments],
  ])
  const { samples } = split(events)
  const shift = firstSeconds * sampleRate - samples[0]!.dts
  const index = [48_000, 44_100, 32_000].indexOf(sampleRate) + 3
  return {
    track: {
      kind: 'audio',
      timescale: sampleRate,
      codec: 'mp4a.40.2',
      sampleRate,
      channels: 1,
      // AAC-LC, the rate's index, one channel (ISO/IEC 14496-3 §1.6.2.1).
      config: Buffer.from([0x10 | (index >> 1), ((index & 1) << 7) | 0x08]),
    },
    samples: samples.map((it) => ({ ...it, dts: it.dts + shift })),
  }
}

/** What ffmpeg complains about when it decodes these samples; empty where all is well. */
export async function decodeErrors(init: Buffer, samples: readonly MediaSample[]): Promise<string> {
  const parts = samples.map((sample, index) => {
    return writeFragment({ sequenceNumber: index + 1, trackId: 1, samples: [sample] }).bytes
  })
  const decoding = run('ffmpeg', ['-v', 'warning', '-f', 'mp4', '-i', 'pipe:0', '-f', 'null', '-'])
  decoding.child.stdin?.end(Buffer.concat([init, ...parts]))
  const { stderr } = await decoding
  return stderr
}

async function record(args: string[]): Promise<FragmentEvent[]> {
  const { stdout } = await run('ffmpeg', ['-v', 'error', '-nostdin', ...args], {
    encoding: 'buffer',
    maxBuffer: 256 * 1024 * 1024,
  })
  const read = new FragmentReader().push(stdout)
  if ('fault' in read) throw new Error(read.fault)
  return read.value
}

function split(events: FragmentEvent[]) {
  const init = events.find((it) => it.kind === 'init')
  if (!init) throw new Error('no init section')
  return { init, samples: events.flatMap((it) => (it.kind === 'sample' ? [it.sample] : [])) }
}

function boxBody(init: Buffer, type: string, fieldBytes: number): Buffer {
  const stsd = findBox(init, ['moov', 'trak', 'mdia', 'minf', 'stbl', 'stsd'])!
  const entryHeaderBytes = 8
  const found = findBox(init, [type], stsd.bodyStart + 8 + entryHeaderBytes + fieldBytes, stsd.end)!
  return init.subarray(found.bodyStart, found.end)
}
