import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { buffer, text } from 'node:stream/consumers'
import { expect, test } from 'vitest'
import { transcoderConfigSchema } from '../../../config/schema.ts'
import { FlvReader } from '../../../media/flv/tag-reader.ts'
import { writeFragment } from '../../../media/mp4/fragment-writer.ts'
import { writeInitSection } from '../../../media/mp4/init-writer.ts'
import type { MediaSample, TrackConfig } from '../../../media/mp4/track.ts'
import { InputReader } from '../../../origin/transcoder/input-reader.ts'
import {
  audioConfigOf,
  SampleClock,
  videoConfigOf,
} from '../../../origin/transcoder/sample-clock.ts'
import { trackParsers } from '../../../origin/transcoder/track-parsers.ts'

async function ffmpeg(args: readonly string[], input?: Buffer) {
  const child = spawn('ffmpeg', ['-hide_banner', '-loglevel', 'warning', ...args], {
    stdio: 'pipe',
  })
  child.stdin.on('error', () => {})
  child.stdin.end(input ?? '')
  const [out, errors] = await Promise.all([
    buffer(child.stdout),
    text(child.stderr),
    once(child, 'close'),
  ])
  return { out, errors }
}

test('what ffmpeg publishes at 29.97 frames and 44.1 kHz becomes samples that ffmpeg decodes', async () => {
  const { out } = await ffmpeg([
    ...['-f', 'lavfi', '-i', 'testsrc2=size=160x90:rate=30000/1001:duration=4'],
    ...['-f', 'lavfi', '-i', 'sine=frequency=440:sample_rate=44100:duration=4'],
    ...['-threads', '1', '-c:v', 'libx264', '-preset', 'ultrafast', '-bf', '2', '-g', '30'],
    ...['-pix_fmt', 'yuv420p', '-c:a', 'aac', '-f', 'flv', 'pipe:1'],
  ])
  const tags = new FlvReader().read(out)
  if ('fault' in tags) throw new Error(tags.fault)
  const reader = new InputReader(transcoderConfigSchema.shape.input.parse({}), trackParsers, 0)
  const configs: TrackConfig[] = []
  const samples: Record<'video' | 'audio', MediaSample[]> = { video: [], audio: [] }
  let clock: SampleClock | undefined
  for (const tag of tags.value) {
    for (const step of reader.push(tag, tag.timestampMs)) {
      if (step.kind === 'refused') throw new Error(step.refusal.message)
      if (step.kind === 'run') {
        const { video, audio } = step.tracks
        configs.push(videoConfigOf(video!), audioConfigOf(audio!))
        clock = new SampleClock({ tracks: step.tracks, originSeconds: 12 })
        continue
      }
      const timed = clock!.toSample(step.sample)
      if (timed) samples[timed.kind].push(timed.sample)
    }
  }
  expect(configs).toHaveLength(2)
  expect(samples.video).toHaveLength(120)
  expect(samples.audio.length).toBeGreaterThanOrEqual(172)
  // Milliseconds: a keyframe's composition time may differ from that of the first by one.
  for (const { cts } of samples.video.filter((it) => it.isKeyframe)) {
    expect(Math.abs(cts)).toBeLessThanOrEqual(90)
  }
  for (const [index, { dts }] of samples.audio.entries()) {
    expect(dts).toBe(samples.audio[0]!.dts + 1024 * index)
  }

  for (const config of configs) {
    const all = samples[config.kind]
    const known = all.map((it, index) => ({
      ...it,
      duration: (all[index + 1]?.dts ?? it.dts + 3_003) - it.dts,
    }))
    const fragment = { sequenceNumber: 1, trackId: 1, samples: known }
    const bytes = Buffer.concat([writeInitSection([config]), writeFragment(fragment).bytes])
    const decoded = await ffmpeg(['-f', 'mp4', '-i', 'pipe:0', '-f', 'null', '-'], bytes)
    expect(decoded.errors).toBe('')
  }
}, 60_000)
