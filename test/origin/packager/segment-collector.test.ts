import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { roundedRate, SegmentCollector } from '../../../origin/packager/segment-collector.ts'
import { initSection, mediaSegment } from '../../support/fmp4.ts'

let dir: string
let work: string
let collector: SegmentCollector
let number: number

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'nearcast-collector-'))
  work = join(dir, 'work')
  number = 7
  await mkdir(work)
  collector = new SegmentCollector({
    workFolder: work,
    streams: [
      { name: '720p', kind: 'video', isSource: true, nominalBitsPerSecond: 0 },
      { name: 'audio', kind: 'audio', isSource: true, nominalBitsPerSecond: 0 },
    ],
    folderOf: (rendition) => join(dir, rendition),
    nextNumber: () => number++,
  })
  await writeFile(join(work, '0-init.mp4'), initSection())
  await writeFile(join(work, '1-init.mp4'), initSection({ kind: 'audio', timescale: 48_000 }))
})

afterEach(async () => {
  await rm(dir, { recursive: true, force: true })
})

const video = (index: number, decodeTicks = (index - 1) * 180_000) =>
  writeFile(join(work, `0-${index}.m4s`), mediaSegment({ decodeTicks: BigInt(decodeTicks) }))
const audio = (index: number, decodeTicks = (index - 1) * 96_000) =>
  writeFile(
    join(work, `1-${index}.m4s`),
    mediaSegment({ decodeTicks: BigInt(decodeTicks), sampleTicks: 1_000, samples: 96 }),
  )

test('waits until every rendition has finished its segment', async () => {
  await video(1)
  expect(await collector.collect()).toEqual({ kind: 'none' })
  await writeFile(join(work, '1-1.m4s.tmp'), '')
  expect(await collector.collect()).toEqual({ kind: 'none' })
  await audio(1)
  expect(await collector.collect()).toMatchObject({
    kind: 'row',
    row: {
      segments: {
        '720p': { startTicks: 0, durationTicks: 180_000 },
        audio: { startTicks: 0, durationTicks: 96_000 },
      },
      renditions: [
        { name: '720p', codec: 'avc1.64001f', width: 1280, framesPerSecond: 30 },
        { name: 'audio', codec: 'mp4a.40.2', sampleRate: 48_000, channels: 2 },
      ],
    },
  })
})

test('gives files their final names without copying them', async () => {
  await Promise.all([video(1), audio(1)])
  await collector.collect()
  expect((await readdir(join(dir, '720p'))).sort()).toEqual(['7.m4s', 'init.mp4'])
  expect(await readFile(join(dir, 'audio', 'init.mp4'))).toEqual(
    initSection({ kind: 'audio', timescale: 48_000 }),
  )
  const [from, to] = await Promise.all([
    stat(join(work, '0-1.m4s')),
    stat(join(dir, '720p', '7.m4s')),
  ])
  expect(to.ino).toBe(from.ino)
  await Promise.all([video(2), audio(2)])
  await collector.collect()
  expect(await readdir(join(dir, 'audio'))).toContain('8.m4s')
})

test.each([
  ['a segment that is empty', () => writeFile(join(work, '0-2.m4s'), ''), /720p: no moof box/],
  [
    'a segment that was cut off by a full disk',
    () =>
      writeFile(join(work, '0-2.m4s'), mediaSegment({ decodeTicks: 180_000n }).subarray(0, 150)),
    /720p: box sizes do not add up/,
  ],
  [
    'a segment without a keyframe at its start',
    () => writeFile(join(work, '0-2.m4s'), mediaSegment({ decodeTicks: 180_000n, isSync: false })),
    /720p: no keyframe/,
  ],
  [
    'a segment that does not go on where the last one ended',
    () => video(2, 380_000),
    /starts 2\.222 s off/,
  ],
])('refuses %s', async (_, write, reason) => {
  await Promise.all([video(1), audio(1)])
  expect(await collector.collect()).toMatchObject({ kind: 'row' })
  await Promise.all([write(), audio(2)])
  expect(await collector.collect()).toEqual({
    kind: 'broken',
    reason: expect.stringMatching(reason),
  })
})

test('refuses renditions that start too far apart', async () => {
  await Promise.all([video(1), audio(1, 96_000)])
  expect(await collector.collect()).toMatchObject({ kind: 'broken', reason: /too far apart/ })
})

test.each([
  [29.99, 30],
  [29.965, 29.97],
  [23.98, 23.976],
  [15.004, 15],
  [12.3456, 12.35],
])('a measured rate of %d is %d', (measured, told) => {
  expect(roundedRate(measured)).toBe(told)
})
