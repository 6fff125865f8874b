import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { buffer, text } from 'node:stream/consumers'
import { expect, test } from 'vitest'
import { findBox, readBoxes } from '../../../media/mp4/boxes.ts'
import { FragmentReader } from '../../../media/mp4/fragment-reader.ts'
import { writeFragment } from '../../../media/mp4/fragment-writer.ts'
import { writeInitSection } from '../../../media/mp4/init-writer.ts'
import type { MediaSample, TrackConfig } from '../../../media/mp4/track.ts'

async function ffmpeg(args: readonly string[], input?: Buffer) {
  const child = spawn('ffmpeg', ['-hide_banner', '-loglevel', 'warning', ...args], {
    stdio: 'pipe',
  })
  child.stdin.on('error', () => {})
  child.stdin.end(input ?? '')
  const [out, errors, [code]] = await Promise.all([
    buffer(child.stdout),
    text(child.stderr),
    once(child, 'close'),
  ])
  return { out, errors, code: code as number }
}

const cmaf = [
  ...['-f', 'mp4', '-movflags'],
  '+cmaf+empty_moov+default_base_moof+frag_every_frame+skip_trailer+delay_moov+frag_discont',
  ...['-output_ts_offset', '10', '-avoid_negative_ts', 'disabled', 'pipe:1'],
]
const pictures = [
  ...['-f', 'lavfi', '-i', 'testsrc2=size=160x90:rate=25:duration=2', '-threads', '1'],
  ...['-c:v', 'libx264', '-preset', 'ultrafast', '-bf', '2', '-g', '25', '-pix_fmt', 'yuv420p'],
  ...['-video_track_timescale', '90000', ...cmaf],
]
const sound = [
  ...['-f', 'lavfi', '-i', 'sine=frequency=440:sample_rate=48000:duration=2'],
  ...['-c:a', 'aac', ...cmaf],
]

/** Encodes, and reads what comes. */
async function record(args: readonly string[]) {
  const { out, errors } = await ffmpeg(args)
  expect(errors).toBe('')
  const read = new FragmentReader().push(out)
  if ('fault' in read) throw new Error(read.fault)
  const [init] = read.value
  if (init?.kind !== 'init') throw new Error('no init section')
  const samples = read.value.flatMap((event) => (event.kind === 'sample' ? [event.sample] : []))
  return { config: configOf(init.bytes, init.track), samples }
}

function configOf(init: Buffer, track: Omit<TrackConfig, 'config'>): TrackConfig {
  const stsd = findBox(init, ['moov', 'trak', 'mdia', 'minf', 'stbl', 'stsd'])!
  const entry = readBoxes(init, stsd.bodyStart + 8, stsd.end)![0]!
  if (track.kind === 'audio') {
    return { ...track, config: Buffer.from('1188', 'hex') } as TrackConfig
  }
  const avcC = findBox(init, ['avcC'], entry.bodyStart + 78, entry.end)!
  return { ...track, config: init.subarray(avcC.bodyStart, avcC.end) } as TrackConfig
}

test('ffmpeg decodes every frame that was read from it and written anew, without a word', async () => {
  const video = await record(pictures)
  const audio = await record(sound)
  expect(video.samples).toHaveLength(50)
  expect(video.samples.filter((it) => it.isKeyframe)).toHaveLength(2)
  expect(Math.min(...video.samples.map((it) => it.cts))).toBeLessThan(0)
  expect(audio.samples.length).toBeGreaterThanOrEqual(94)

  // As an encoder is fed: a fragment per sample, in the order of time, video of unknown duration.
  const all = [
    ...video.samples.map((it) => ({ id: 1, at: it.dts / 90_000, it: { ...it, duration: 0 } })),
    ...audio.samples.map((it) => ({ id: 2, at: it.dts / 48_000, it })),
  ].sort((a, b) => a.at - b.at)
  const fed = Buffer.concat([
    writeInitSection([video.config, audio.config]),
    ...all.map(
      ({ id, it }, index) =>
        writeFragment({ sequenceNumber: index + 1, trackId: id, samples: [it] }).bytes,
    ),
  ])
  const both = await decode(fed)
  expect(both).toMatchObject({ errors: '', code: 0, video: 50, audio: audio.samples.length })

  // As a viewer gets it: one track, many samples to a fragment.
  for (const { config, samples } of [video, audio]) {
    const bytes = Buffer.concat([writeInitSection([config]), ...parts(samples, 12)])
    expect(await decode(bytes)).toMatchObject({
      errors: '',
      code: 0,
      [config.kind]: samples.length,
    })
  }
}, 60_000)

function parts(samples: readonly MediaSample[], length: number): Buffer[] {
  const out: Buffer[] = []
  for (let at = 0; at < samples.length; at += length) {
    const part = samples.slice(at, at + length)
    out.push(writeFragment({ sequenceNumber: out.length + 1, trackId: 1, samples: part }).bytes)
  }
  return out
}

/** How many frames come out. */
async function decode(bytes: Buffer) {
  const args = ['-copyts', '-f', 'mp4', '-i', 'pipe:0', '-fps_mode', 'passthrough']
  const { out, errors, code } = await ffmpeg([...args, '-f', 'framecrc', 'pipe:1'], bytes)
  const rows = out.toString().split('\n')
  const medium = [0, 1].map((id) => rows.find((row) => row.startsWith(`#media_type ${id}`)))
  const count = (kind: string) => {
    const id = medium.findIndex((row) => row?.endsWith(kind))
    return rows.filter((row) => row.startsWith(`${id},`)).length
  }
  return { errors, code, video: count('video'), audio: count('audio') }
}
