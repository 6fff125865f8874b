import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { systemClock } from '../../../common/clock.ts'
import type { PackagedRendition } from '../../../common/live/live-broadcast.ts'
import { SegmentLog } from '../../../common/live/segment-log.ts'
import { silentLogger } from '../../../common/log.ts'
import { type InitTrack, parseInitSection } from '../../../media/mp4/init-section.ts'
import { parseMediaSegment } from '../../../media/mp4/media-segment.ts'
import { BroadcastFolder } from '../../../origin/archive/broadcast-folder.ts'
import { SegmentArchive } from '../../../origin/archive/segment-archive.ts'
import { replayMediaPlaylist } from '../../../origin/packager/hls-replay.ts'
import {
  audioRendition,
  broadcast,
  packagedTake,
  videoRendition,
} from '../../support/segment-logs.ts'

const run = promisify(execFile)
const settings = { targetDurationSeconds: 4 }
const segmentCount = 8
let root: string

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'nearcast-replay-'))
})

afterEach(async () => {
  await rm(root, { recursive: true, force: true })
})

/** Eight seconds at 25 frames, cut into seconds: `0-init.mp4`, `0-1.m4s` and so on; stream 1 is sound. */
async function encode(): Promise<void> {
  await run(
    'ffmpeg',
    [
      ...['-v', 'error', '-f', 'lavfi', '-i', 'testsrc2=size=160x90:rate=25'],
      ...['-f', 'lavfi', '-i', 'sine=sample_rate=48000', '-t', `${segmentCount}`],
      ...['-c:v', 'libx264', '-preset', 'ultrafast', '-pix_fmt', 'yuv420p', '-g', '25'],
      ...['-sc_threshold', '0', '-c:a', 'aac', '-ac', '2', '-f', 'dash', '-seg_duration', '1'],
      ...['-use_timeline', '0', '-init_seg_name', '$RepresentationID$-init.mp4'],
      ...['-media_seg_name', '$RepresentationID$-$Number$.m4s', 'encoded.mpd'],
    ],
    { cwd: root },
  )
}

async function rendition(stream: number): Promise<PackagedRendition> {
  const init = await readFile(join(root, `${stream}-init.mp4`))
  const parsed = parseInitSection(init)
  if (!parsed.ok) throw new Error(parsed.reason)
  const track: InitTrack = parsed.track
  const { codec, timescale } = track
  const logged = stream === 0 ? videoRendition(90) : audioRendition
  return { ...logged, codec, timescale, init, track }
}

/** Decoded frames of each stream. */
async function frames(file: string): Promise<number[]> {
  const { stdout, stderr } = await run('ffprobe', [
    ...['-v', 'error', '-count_frames', '-allowed_extensions', 'ALL'],
    ...['-show_entries', 'stream=nb_read_frames', '-of', 'json', join(root, 'play', file)],
  ])
  expect(stderr).toBe('')
  const { streams } = JSON.parse(stdout) as { streams: { nb_read_frames: string }[] }
  return streams.map((it) => Number(it.nb_read_frames))
}

test('ffmpeg decodes a replay with a hole, a gap and two takes, without an error', async () => {
  await encode()
  const folder = await BroadcastFolder.create(root, new SegmentLog(broadcast))
  const archive = new SegmentArchive({ folder, clock: systemClock, log: silentLogger })
  const renditions = await Promise.all([rendition(0), rendition(1)])
  const takes = [packagedTake(1, { renditions }), packagedTake(2, { renditions, firstNumber: 5 })]
  for (let number = 1; number <= segmentCount; number++) {
    const take = number < 5 ? takes[0]! : takes[1]!
    for (const [stream, it] of renditions.entries()) {
      const bytes = await readFile(join(root, `${stream}-${number}.m4s`))
      const parsed = parseMediaSegment(bytes, it.track)
      if (!parsed.ok) throw new Error(parsed.reason)
      // Number 3 is lost; of number 6 there is no sound.
      if (number === 3 && stream === 0) continue
      const isGap = number === 6 && stream === 1
      const { startTicks, durationTicks } = parsed.segment
      archive.segment(
        {
          ...{ number, take, rendition: it, startTicks, durationTicks, isGap, parts: [] },
          ...{ isOpen: false, sizeBytes: bytes.length, keyframeBytes: 0 },
        },
        isGap ? [] : [bytes.subarray(0, 100), bytes.subarray(100)],
      )
    }
  }
  await archive.close()

  const { log } = (await BroadcastFolder.load(folder.path))!
  expect(log.rows.map((row) => row.number)).toEqual([1, 2, 4, 5, 6, 7, 8])
  await mkdir(join(root, 'play'))
  for (const { name, folder: target } of log.takes) {
    await symlink(join(folder.path, target), join(root, 'play', name))
  }
  await writeFile(join(root, 'play', '90p.m3u8'), replayMediaPlaylist(log, settings, '90p')!)
  await writeFile(join(root, 'play', 'audio.m3u8'), replayMediaPlaylist(log, settings, 'audio')!)
  expect(await frames('90p.m3u8')).toEqual([7 * 25])
  // Six seconds of sound, give or take the frame at each end.
  const [sound] = await frames('audio.m3u8')
  expect(Math.abs(sound! - (6 * 48_000) / 1024)).toBeLessThan(6)
})
