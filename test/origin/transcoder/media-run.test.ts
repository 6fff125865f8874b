import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { systemClock } from '../../../common/clock.ts'
import { silentLogger } from '../../../common/log.ts'
import { findProcessGuard } from '../../../common/process-guard.ts'
import { FragmentReader } from '../../../media/mp4/fragment-reader.ts'
import { MemoryCommitLog } from '../../../origin/packager/commit-log.ts'
import { Packager } from '../../../origin/packager/packager.ts'
import { runLeadMs } from '../../../origin/transcoder/input-reader.ts'
import { MediaRun } from '../../../origin/transcoder/media-run.ts'
import { broadcast } from '../../support/segment-logs.ts'
import { sourceVideo } from '../../support/source-media.ts'
import { until } from '../../support/until.ts'

const guard = await findProcessGuard()

/** A stand-in for ffmpeg that keeps what it is fed. */
async function recorder(): Promise<{ command: string; fed: () => Promise<number[]> }> {
  const dir = await mkdtemp(join(tmpdir(), 'nearcast-media-run-'))
  onTestFinished(() => rm(dir, { recursive: true }))
  const command = join(dir, 'ffmpeg')
  const file = join(dir, 'fed.mp4')
  await writeFile(command, `#!/bin/sh\nexec cat > ${file}\n`)
  await chmod(command, 0o755)
  return {
    command,
    fed: async () => {
      const read = new FragmentReader().push(await readFile(file))
      if ('fault' in read) throw new Error(read.fault)
      return read.value.flatMap((it) => (it.kind === 'sample' ? [it.sample.dts] : []))
    },
  }
}

test('each picture is fed once to the encoder that takes over from a source with keyframes too far apart', async () => {
  const video = await sourceVideo({ seconds: 6, framesPerSecond: 25, gopFrames: 250 })
  const { command, fed } = await recorder()
  let takes = 0
  const nextTake = () => ({ name: `take-${++takes}`, number: takes, epoch: 1 })
  const told: string[] = []
  const packager = new Packager({
    facts: broadcast,
    config: { targetDurationSeconds: 4, partSeconds: 0.5, segmentSeconds: 2, windowSegments: 6 },
    commits: new MemoryCommitLog(),
    nextTake,
    onSegment: () => {},
    onLongGop: (at) => run.onLongGop(at),
    onFault: (rendition, reason) => told.push(`${rendition}: ${reason}`),
  })
  const { codec, width, height, config } = video.track
  const run = new MediaRun({
    packager,
    ...{ guard, nextTake, clock: systemClock, log: silentLogger, ffmpeg: command, stallMs: 1e9 },
    tracks: {
      video: { config, codec, width, height, framesPerSecond: 25, isWidelyPlayable: true },
      audio: undefined,
    },
    ladder: { name: 'source', rungs: [], audioBitsPerSecond: 96_000, preset: 'ultrafast' },
    ...{ hasLongGop: false, sourceBitsPerSecond: 0, framesPerSecond: 25 },
    ...{ originSeconds: 10, segmentSeconds: 2 },
    mayPublish: () => true,
    onEntry: () => {},
    onRestart: (reason) => told.push(reason),
    onLongGop: () => told.push('long gop'),
    onFailed: (detail) => told.push(detail),
  })
  onTestFinished(async () => {
    run.abort()
    await run.finish()
  })
  video.samples.forEach(({ data, isKeyframe }, index) => {
    const header = Buffer.from([isKeyframe ? 0x17 : 0x27, 1, 0, 0, 0])
    const payload = Buffer.concat([header, data])
    run.push({
      kind: 'video',
      timestampMs: runLeadMs + index * 40,
      publisherMs: index * 40,
      isKeyframe,
      payload,
    })
  })
  // The last picture may wait for the next one, which tells how long it is.
  const pushed = video.samples.slice(1, -1)
  const steps = await until('what was pushed', async () => {
    const times = await fed()
    return times.length > pushed.length && times.slice(1).map((it, at) => it - times[at]!)
  })
  expect(steps.slice(0, pushed.length)).toEqual(pushed.map(() => 3_600))
  expect(told).toEqual(['keyframes', 'long gop'])
})

test('nothing is listed while it is not sure whose the stream is, and all of it afterwards', async () => {
  const video = await sourceVideo({ seconds: 3, gopFrames: 30 })
  const nextTake = () => ({ name: 'take-1', number: 1, epoch: 1 })
  const packager = new Packager({
    facts: broadcast,
    config: { targetDurationSeconds: 4, partSeconds: 0.5, segmentSeconds: 2, windowSegments: 6 },
    commits: new MemoryCommitLog(),
    ...{ nextTake, onSegment: () => {}, onLongGop: () => {}, onFault: () => {} },
  })
  const { codec, width, height, config } = video.track
  let mayPublish = true
  const entries: number[][] = []
  const run = new MediaRun({
    packager,
    ...{ guard, nextTake, clock: systemClock, log: silentLogger, ffmpeg: 'none', stallMs: 1e9 },
    tracks: {
      video: { config, codec, width, height, framesPerSecond: 30, isWidelyPlayable: true },
      audio: undefined,
    },
    ladder: { name: 'source', rungs: [], audioBitsPerSecond: 96_000, preset: 'ultrafast' },
    ...{ hasLongGop: false, sourceBitsPerSecond: 0, framesPerSecond: 30 },
    ...{ originSeconds: 10, segmentSeconds: 2 },
    mayPublish: () => mayPublish,
    onEntry: ({ seconds, entry }) => entries.push([seconds, entry.timestampMs]),
    ...{ onRestart: () => {}, onLongGop: () => {}, onFailed: () => {} },
  })
  const listed = () => packager.playlist('90p')?.segments.flatMap((it) => it.parts).length ?? 0
  video.samples.forEach(({ data, isKeyframe }, index) => {
    const payload = Buffer.concat([Buffer.from([isKeyframe ? 0x17 : 0x27, 1, 0, 0, 0]), data])
    const publisherMs = Math.round((index * 1000) / 30)
    const timestampMs = runLeadMs + publisherMs
    if (index === 75) mayPublish = false
    const entry = isKeyframe ? { timestampMs: publisherMs, baseMs: 0, lastMs: {} } : undefined
    run.push({ kind: 'video', timestampMs, publisherMs, isKeyframe, payload, entry })
  })
  const before = listed()
  const { version } = packager
  mayPublish = true
  expect(packager.version).toBe(version)
  run.release()
  expect(listed()).toBeGreaterThan(before)
  await run.finish()
  expect(entries).toEqual([
    [10, 0],
    [11, 1_000],
    [12, 2_000],
  ])
})
