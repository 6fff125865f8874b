import { appendFile, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import {
  type RecordingReport,
  recordingLocationSchema,
} from '../../../common/contract/placement.ts'
import {
  type BroadcastFacts,
  type LoggedTake,
  type LogRow,
  SegmentLog,
} from '../../../common/live/segment-log.ts'
import { silentLogger } from '../../../common/log.ts'
import { BroadcastFolder } from '../../../origin/archive/broadcast-folder.ts'
import { RecordingStore, recordingIdOf } from '../../../origin/archive/recording-store.ts'
import { broadcast, segmentLog } from '../../support/segment-logs.ts'

const id = recordingIdOf(broadcast.broadcastId, 'tc-1')
let root: string
let reports: { id: string; report: RecordingReport }[]
let isReachable: boolean

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'nearcast-archive-'))
  reports = []
  isReachable = true
})

afterEach(async () => {
  await rm(root, { recursive: true, force: true })
})

async function openStore(): Promise<RecordingStore> {
  const store = new RecordingStore({
    root,
    nodeId: 'tc-1',
    log: silentLogger,
    reporter: {
      async reportRecording(recordingId, report) {
        if (isReachable) reports.push({ id: recordingId, report })
        return isReachable
      },
    },
  })
  await store.open()
  return store
}

/** A segment of a row that a log tells. */
async function writeFiles(folder: BroadcastFolder, take: LoggedTake, row: LogRow): Promise<void> {
  for (const [name, { sizeBytes }] of Object.entries(row.segments)) {
    const path = folder.renditionPath(take, name)
    await mkdir(path, { recursive: true })
    await writeFile(join(path, 'init.mp4'), 'init')
    await writeFile(join(path, `${row.number}.m4s`), Buffer.alloc(sizeBytes))
  }
}

/** A folder whose journal holds one take of four rows. */
async function record(facts: Partial<BroadcastFacts> = {}): Promise<BroadcastFolder> {
  const source = segmentLog([{ rows: 4, startSeconds: 10 }])
  const folder = await BroadcastFolder.create(root, new SegmentLog({ ...broadcast, ...facts }))
  for (const row of source.rows) {
    await writeFiles(folder, source.takes[0]!, row)
    await folder.restore()
    await folder.commitRow(row, source.takes[0])
  }
  return folder
}

test('what is kept is reported once and found again', async () => {
  const folder = await record()
  const store = await openStore()
  // Found by its journal, as after a crash: nobody had finished it.
  expect(store.count).toBe(1)
  await store.reportPending()
  await store.reportPending()
  expect(reports).toEqual([
    {
      id,
      report: expect.objectContaining({ liveId: 'demo', transcoder: 'tc-1', durationMs: 8_000 }),
    },
  ])
  expect(reports[0]!.report.renditions.map((it) => it.name)).toEqual(['720p', '360p', 'audio'])
  const again = await openStore()
  await again.reportPending()
  expect(reports).toHaveLength(1)
  expect((await again.folder(id))!.log.rows).toEqual(folder.log.rows)
})

test('a report that does not arrive is tried again, also after a restart', async () => {
  await record()
  isReachable = false
  await (await openStore()).reportPending()
  expect(reports).toEqual([])
  isReachable = true
  await (await openStore()).reportPending()
  expect(reports).toHaveLength(1)
})

test.each([
  ['a torn last line', '{"row":{"number":5,"take":"abcdefg'],
  ['a row of nothing', '{"row":{"number":9,"take":"abcdefgh12-1","segments":{}}}\n'],
  [
    'a row whose files are not there',
    '{"row":{"number":9,"take":"abcdefgh12-1","segments":{"360p":{"startTicks":1,"durationTicks":1,"sizeBytes":9}}}}\n',
  ],
  [
    'a row twice',
    '{"row":{"number":4,"take":"abcdefgh12-1","segments":{"360p":{"startTicks":1,"durationTicks":1,"sizeBytes":9}}}}\n',
  ],
  ['a row of an unknown take', '{"row":{"number":5,"take":"zzzzzzzz-1","segments":{}}}\n'],
  ['bytes of nowhere', '\0\0\0\0\n'],
])('a journal with %s is read without it', async (_, tail) => {
  await record()
  await appendFile(join(root, broadcast.broadcastId, 'segments.jsonl'), tail)
  expect((await (await openStore()).folder(id))!.log.rows).toHaveLength(4)
})

test('what was not to be recorded, or never became anything, is deleted at the start', async () => {
  await record({ isRecorded: false })
  await BroadcastFolder.create(
    root,
    new SegmentLog({ ...broadcast, broadcastId: 'a3f0e6b2-51a4-4a6c-8a71-0c5b6d0a4e11' }),
  )
  await mkdir(join(root, 'stray'))
  await writeFile(join(root, 'stray', 'file'), '')
  const store = await openStore()
  expect(store.count).toBe(0)
  expect(await readdir(root)).toEqual([])
})

function later(segments: LogRow['segments'], seconds: number): LogRow['segments'] {
  const moved = Object.entries(segments).map(([name, it]) => {
    const timescale = name === 'audio' ? 48_000 : 90_000
    return [name, { ...it, startTicks: it.startTicks + seconds * timescale }]
  })
  return Object.fromEntries(moved)
}

test('a broadcast that goes on is no recording until it ends again', async () => {
  await record()
  const store = await openStore()
  const folder = (await store.resume(broadcast.broadcastId))!
  expect(store.count).toBe(0)
  expect(folder.log.isEnded).toBe(false)
  expect(await readdir(join(root, broadcast.broadcastId))).not.toContain('recording.json')
  const before = folder.log.rows.at(-1)!
  const last = { ...before, number: 5, segments: later(before.segments, 2) }
  await writeFiles(folder, folder.log.takes[0]!, last)
  await folder.commitRow(last)
  await store.keep(folder)
  const stored = JSON.parse(
    await readFile(join(root, broadcast.broadcastId, 'recording.json'), 'utf8'),
  )
  expect(stored.report.durationMs).toBe(10_000)
})

test('a deleted recording is gone for good', async () => {
  await record()
  const store = await openStore()
  expect(await store.delete(id)).toBe(true)
  expect(await store.delete(id)).toBe(false)
  expect(await store.folder(id)).toBeUndefined()
  expect(await readdir(root)).toEqual([])
})

test('the journal of an older version loads, without marks and settings', async () => {
  const folder = await record()
  const older = (await readFile(join(folder.path, 'segments.jsonl'), 'utf8')).split('\n')
  expect(older.filter((line) => line !== '').map((line) => Object.keys(JSON.parse(line)))).toEqual([
    ['take'],
    ...Array.from({ length: 4 }, () => ['row']),
  ])
  const loaded = (await BroadcastFolder.load(folder.path))!
  expect(loaded.log.rows).toHaveLength(4)
  expect(loaded.resumePoint(broadcast.startedAtMs + 3_600_000)).toEqual({
    nextNumber: 5,
    takes: 1,
    endSeconds: 18,
  })
})

test('a recording that cannot be read is neither served nor deleted', async () => {
  const folder = await record()
  await rm(join(folder.path, 'segments.jsonl'))
  await mkdir(join(folder.path, 'segments.jsonl'))
  expect((await openStore()).count).toBe(0)
  expect(await readdir(root)).toEqual([broadcast.broadcastId])
})

test('a recording whose report cannot be written is kept until there is room', async () => {
  const store = await openStore()
  const folder = await record()
  await mkdir(join(folder.path, 'recording.json.tmp'))
  await store.keep(folder)
  await store.reportPending()
  expect(reports).toHaveLength(1)
  expect((await store.folder(id))!.log.rows).toHaveLength(4)
})

test('what an encoder that was killed has left behind is swept at the next start', async () => {
  const folder = await record()
  const take = join(folder.path, folder.log.takes[0]!.folder)
  await mkdir(join(take, 'work'), { recursive: true })
  await writeFile(join(take, 'work', '5.m4s.tmp'), 'torn')
  await openStore()
  expect(await readdir(take)).not.toContain('work')
})

test('two transcoders that had the same broadcast keep a recording each', () => {
  const ids = ['tc-1', 'tc-2'].map((node) => recordingIdOf(broadcast.broadcastId, node))
  expect(new Set(ids).size).toBe(2)
  for (const one of ids) expect(recordingLocationSchema.shape.id.safeParse(one).success).toBe(true)
})
