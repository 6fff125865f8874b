import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type {
  LiveSettings,
  PackagedSegment,
  PackagedTake,
} from '../../../common/live/live-broadcast.ts'
import { type LogRow, SegmentLog } from '../../../common/live/segment-log.ts'
import { silentLogger } from '../../../common/log.ts'
import { BroadcastFolder } from '../../../origin/archive/broadcast-folder.ts'
import { type DropReason, SegmentArchive } from '../../../origin/archive/segment-archive.ts'
import { replayMpd } from '../../../origin/packager/dash-replay.ts'
import { replayMediaPlaylist } from '../../../origin/packager/hls-replay.ts'
import { FakeClock } from '../../support/fake-clock.ts'
import { readMediaPlaylist } from '../../support/media-playlist.ts'
import { broadcast, packagedTake, standardRenditions } from '../../support/segment-logs.ts'

const run = promisify(execFile)
const startMs = Date.UTC(2026, 0, 1)
const settings: LiveSettings = {
  targetDurationSeconds: 4,
  partTargetSeconds: 0.5,
  segmentSeconds: 2,
  windowSegments: 6,
}

let root: string
let clock: FakeClock
let dropped: DropReason[]
let committed: LogRow[]

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'nearcast-archive-'))
  clock = new FakeClock(startMs)
  dropped = []
  committed = []
})

afterEach(async () => {
  await rm(root, { recursive: true, force: true })
})

interface Rig {
  folder: BroadcastFolder
  archive: SegmentArchive
}

function archiveOf(folder: BroadcastFolder, maxQueuedBytes?: number): SegmentArchive {
  return new SegmentArchive({
    folder,
    clock,
    log: silentLogger,
    ...(maxQueuedBytes !== undefined && { maxQueuedBytes }),
    onDropped: (reason) => dropped.push(reason),
    onRow: (row) => committed.push(row),
  })
}

async function start(facts: object = {}, maxQueuedBytes?: number, at = root): Promise<Rig> {
  const folder = await BroadcastFolder.create(at, new SegmentLog({ ...broadcast, ...facts }))
  return { folder, archive: archiveOf(folder, maxQueuedBytes) }
}

/** Different for every segment of every rendition. */
function bytesOf(name: string, number: number, size = 3_000): Buffer[] {
  const text = `${name} ${number} `
  const bytes = Buffer.alloc(size, text)
  return [bytes.subarray(0, 7), Buffer.alloc(0), bytes.subarray(7, 1_000), bytes.subarray(1_000)]
}

function segmentOf(
  take: PackagedTake,
  name: string,
  number: number,
  isGap = false,
): PackagedSegment {
  const rendition = take.renditions.find((it) => it.name === name)!
  return {
    number,
    take,
    rendition,
    startTicks: (10 + 2 * number) * rendition.timescale,
    durationTicks: 2 * rendition.timescale,
    parts: [],
    isOpen: false,
    isGap,
    sizeBytes: 0,
    keyframeBytes: 0,
  }
}

const names = standardRenditions.map((it) => it.name)

/** The segments of one number in all renditions but those of `without`; those of `gaps` as gaps. */
function push(
  { archive }: Rig,
  take: PackagedTake,
  number: number,
  { without = [] as string[], gaps = [] as string[], size = 3_000 } = {},
): void {
  for (const name of names) {
    if (without.includes(name)) continue
    const isGap = gaps.includes(name)
    const bytes = isGap ? [] : bytesOf(name, number, size)
    archive.segment(segmentOf(take, name, number, isGap), bytes)
  }
}

function begin({ archive }: Rig, number = 1, firstNumber = 1): PackagedTake {
  const take = packagedTake(number, { firstNumber })
  for (const rendition of take.renditions) archive.init(take, rendition)
  return take
}

async function reload(): Promise<BroadcastFolder> {
  return (await BroadcastFolder.load(join(root, broadcast.broadcastId)))!
}

const numbers = (log: SegmentLog) => log.rows.map((row) => row.number)

/** Every row that the journal tells is whole on disk. */
async function assertWhole(folder: BroadcastFolder): Promise<void> {
  for (const row of folder.log.rows) {
    const take = folder.log.takeNamed(row.take)!
    for (const [name, { sizeBytes }] of Object.entries(row.segments)) {
      const path = folder.renditionPath(take, name)
      const bytes = await readFile(join(path, `${row.number}.m4s`))
      expect(bytes).toEqual(Buffer.concat(bytesOf(name, row.number, sizeBytes)))
      const { init } = packagedTake(take.number).renditions.find((it) => it.name === name)!
      expect(await readFile(join(path, 'init.mp4'))).toEqual(init)
    }
  }
}

async function strayFiles(): Promise<string[]> {
  const all = await readdir(root, { recursive: true })
  return all.filter((name) => name.endsWith('.tmp'))
}

test('writes each segment once and journals rows that are whole', async () => {
  const rig = await start()
  const take = begin(rig)
  for (const number of [1, 2, 3]) push(rig, take, number)
  await rig.archive.close()
  expect(committed.map((row) => row.number)).toEqual([1, 2, 3])
  expect(rig.archive.queuedBytes).toBe(0)
  const folder = await reload()
  expect(folder.log.rows).toEqual(rig.folder.log.rows)
  expect(folder.log.rows[0]!.segments['720p']).toEqual({
    startTicks: 12 * 90_000,
    durationTicks: 180_000,
    sizeBytes: 3_000,
  })
  expect(folder.log.takes).toEqual([
    { name: 'abcdefgh12-1', number: 1, folder: '1-1', renditions: standardRenditions },
  ])
  await assertWhole(folder)
  expect(dropped).toEqual([])
  expect(await strayFiles()).toEqual([])
})

test('makes the same rows of any order in which renditions arrive', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.shuffledSubarray(
        [1, 2, 3, 4].flatMap((number) => names.map((name) => ({ number, name }))),
        { minLength: 0 },
      ),
      fc.boolean(),
      async (arrivals, closesAtOnce) => {
        const rig = await start({ broadcastId: crypto.randomUUID() })
        const take = packagedTake(1)
        const reversed = [...take.renditions].reverse()
        for (const { number, name } of arrivals) {
          rig.archive.segment(segmentOf(take, name, number), bytesOf(name, number))
        }
        for (const rendition of reversed) rig.archive.init(take, rendition)
        if (!closesAtOnce) await rig.archive.settled()
        await rig.archive.close()
        const whole = [1, 2, 3, 4].filter(
          (number) => arrivals.filter((it) => it.number === number).length === names.length,
        )
        const folder = (await BroadcastFolder.load(rig.folder.path))!
        expect(numbers(folder.log)).toEqual(whole)
        expect(numbers(rig.folder.log)).toEqual(whole)
        await assertWhole(folder)
        await folder.delete()
      },
    ),
    { numRuns: 25 },
  )
})

test('a row whose rendition is a gap is journalled without it, one of gaps alone not at all', async () => {
  const rig = await start()
  const take = begin(rig)
  push(rig, take, 1)
  push(rig, take, 2, { gaps: ['720p'] })
  push(rig, take, 3, { gaps: names })
  push(rig, take, 4)
  await rig.archive.close()
  expect(rig.folder.log.rows.map((row) => Object.keys(row.segments))).toEqual([
    names,
    ['360p', 'audio'],
    names,
  ])
  expect(numbers((await reload()).log)).toEqual([1, 2, 4])
  expect(dropped).toEqual([])
})

test('a row of which a rendition never came is taken off the disk at the end', async () => {
  const rig = await start()
  const take = begin(rig)
  push(rig, take, 1)
  push(rig, take, 2, { without: ['360p'] })
  await rig.archive.settled()
  expect(numbers(rig.folder.log)).toEqual([1])
  await rig.archive.close()
  expect(numbers(rig.folder.log)).toEqual([1])
  expect(dropped).toEqual(['row-incomplete', 'row-incomplete'])
  expect(await readdir(rig.folder.renditionPath({ folder: '1-1' }, '720p'))).toEqual([
    '1.m4s',
    'init.mp4',
  ])
})

test('a segment that another transcoder has begun is not recorded, nor is its row', async () => {
  const rig = await start()
  const take = begin(rig)
  const part = { startTicks: 0, isIndependent: true, isGap: false, bytes: Buffer.alloc(0) }
  const parts = [{ ...part, id: 1, durationTicks: 1, elsewhereBytes: 700 }]
  for (const name of names) {
    const segment = segmentOf(take, name, 1)
    rig.archive.segment(name === '720p' ? { ...segment, parts } : segment, bytesOf(name, 1))
  }
  push(rig, take, 2)
  await rig.archive.close()
  expect(numbers((await reload()).log)).toEqual([2])
  expect(dropped).toEqual(['begun-elsewhere', ...Array(names.length - 1).fill('row-incomplete')])
})

test('rows that wait for a rendition are bounded', async () => {
  const rig = await start()
  const take = begin(rig)
  for (let number = 1; number <= 70; number++) push(rig, take, number, { without: ['360p'] })
  await rig.archive.settled()
  const left = await readdir(rig.folder.renditionPath({ folder: '1-1' }, '720p'))
  expect(left.filter((name) => name.endsWith('.m4s'))).toHaveLength(64)
  await rig.archive.close()
})

test('a take waits until all its renditions are known', async () => {
  const rig = await start()
  const full = packagedTake(1)
  const partial = { ...full, isComplete: false, renditions: full.renditions.slice(0, 2) }
  for (const rendition of partial.renditions) rig.archive.init(partial, rendition)
  for (const name of ['720p', '360p']) {
    rig.archive.segment(segmentOf(partial, name, 1), bytesOf(name, 1))
  }
  await rig.archive.settled()
  expect(rig.folder.log.rows).toEqual([])
  rig.archive.segment(segmentOf(full, 'audio', 1), bytesOf('audio', 1))
  await rig.archive.settled()
  expect(Object.keys(rig.folder.log.rows[0]!.segments)).toEqual(names)
  await rig.archive.close()
})

test('a queue that is full drops segments at once, and recording goes on', async () => {
  const rig = await start({}, 30_000)
  const take = begin(rig)
  for (let number = 1; number <= 500; number++) push(rig, take, number)
  expect(rig.archive.queuedBytes).toBeLessThan(36_000)
  expect(dropped).toContain('overflow')
  await rig.archive.settled()
  const lost = dropped.length
  push(rig, take, 501)
  await rig.archive.close()
  expect(dropped).toHaveLength(lost)
  expect(3 * committed.length + lost).toBe(3 * 501)
  const folder = await reload()
  expect(numbers(folder.log)).toContain(501)
  await assertWhole(folder)
})

test('never writes over other bytes', async () => {
  const rig = await start()
  const take = begin(rig)
  await rig.archive.settled()
  const path = rig.folder.renditionPath({ folder: '1-1' }, '720p')
  await writeFile(join(path, '1.m4s'), 'mine')
  // The same bytes are no conflict: a row that was lost before it was journalled may come again.
  await writeFile(join(path, '2.m4s'), Buffer.concat(bytesOf('720p', 2)))
  push(rig, take, 1)
  push(rig, take, 2)
  await rig.archive.close()
  expect(await readFile(join(path, '1.m4s'), 'utf8')).toBe('mine')
  expect(numbers(rig.folder.log)).toEqual([2])
  expect(dropped).toContain('conflict')
})

test('a show that is not recorded leaves nothing on disk', async () => {
  const rig = await start({ isRecorded: false })
  const take = begin(rig)
  push(rig, take, 1)
  await rig.archive.close()
  expect(await readdir(root)).toEqual([])
  expect(rig.folder.resumePoint(clock.now())).toMatchObject({ nextNumber: 2, takes: 1 })
})

describe('a disk that fails', () => {
  test('a folder that vanishes costs the rows that it held, and the recording goes on', async () => {
    const rig = await start()
    const take = begin(rig)
    push(rig, take, 1)
    await rig.archive.settled()
    await rm(rig.folder.path, { recursive: true })
    for (const number of [2, 3, 4]) {
      push(rig, take, number)
      await rig.archive.settled()
    }
    await rig.archive.close()
    const folder = await reload()
    expect(numbers(folder.log)).toContain(4)
    expect(numbers(folder.log)).not.toContain(1)
    expect(folder.log.rows).toEqual(rig.folder.log.rows)
    await assertWhole(folder)
  })

  test('a root that cannot be written to costs rows, never the show', async () => {
    const target = join(root, 'media')
    // A file where the folder should be fails for root too, unlike permissions.
    await writeFile(target, '')
    const rig = await start({}, undefined, target)
    const take = begin(rig)
    push(rig, take, 1)
    await rig.archive.settled()
    expect(dropped).toEqual(['disk-failed', 'row-incomplete', 'row-incomplete'])
    await rm(target)
    push(rig, take, 2)
    await rig.archive.close()
    const folder = (await BroadcastFolder.load(rig.folder.path))!
    expect(numbers(folder.log)).toEqual([2])
    await assertWhole(folder)
  })

  test('a rendition whose folder was taken away is made anew with its init section', async () => {
    const rig = await start()
    const take = begin(rig)
    push(rig, take, 1)
    await rig.archive.settled()
    const path = rig.folder.renditionPath({ folder: '1-1' }, '360p')
    await rename(path, join(root, 'away'))
    push(rig, take, 2)
    await rig.archive.close()
    expect((await readdir(path)).sort()).toEqual(['2.m4s', 'init.mp4'])
  })

  test('a hanging disk keeps no broadcast from ending', async () => {
    const rig = await start()
    const take = begin(rig)
    // Opening a pipe that nobody reads never returns.
    const path = rig.folder.renditionPath({ folder: '1-1' }, '720p')
    await rig.archive.settled()
    rig.folder.temporaryPath = () => join(root, 'pipe')
    await run('mkfifo', [join(root, 'pipe')])
    push(rig, take, 1)
    const closed = rig.archive.close()
    await clock.advance(10_000)
    await closed
    expect(await readdir(path)).toEqual(['init.mp4'])
    // Lets the thread go.
    await run('timeout', ['5', 'cat', join(root, 'pipe')])
  })

  test('a full disk leaves holes and nothing torn', async ({ skip }) => {
    const disk = join(root, 'disk')
    await mkdir(disk)
    try {
      await run('mount', ['-t', 'tmpfs', '-o', 'size=256k', 'tmpfs', disk])
    } catch {
      skip('only root may mount a small disk')
    }
    try {
      const rig = await start({}, undefined, disk)
      const take = begin(rig)
      await writeFile(join(disk, 'ballast'), Buffer.alloc(120_000))
      for (let number = 1; number <= 10; number++) push(rig, take, number, { size: 20_000 })
      await rig.archive.settled()
      expect(dropped).toContain('disk-full')
      const before = numbers(rig.folder.log)
      expect(before.length).toBeLessThan(3)
      expect(
        (await readdir(disk, { recursive: true })).filter((it) => it.endsWith('.tmp')),
      ).toEqual([])
      await rm(join(disk, 'ballast'))
      push(rig, take, 11, { size: 20_000 })
      await rig.archive.close()
      const folder = (await BroadcastFolder.load(rig.folder.path))!
      expect(numbers(folder.log)).toEqual([...before, 11])
      await assertWhole(folder)
    } finally {
      await run('umount', [disk])
    }
  })
})

describe('after a restart', () => {
  test('goes on above every number that may have been listed', async () => {
    const rig = await start()
    rig.archive.settings(settings)
    const take = begin(rig)
    for (let number = 1; number <= 40; number++) push(rig, take, number)
    await rig.archive.settled()
    // Listed live, but the process was killed before they came to disk.
    const point = (await reload()).resumePoint(clock.now())
    expect(point).toMatchObject({ takes: 2, endSeconds: 92, settings })
    expect(point.nextNumber).toBeGreaterThan(56)
    expect(point.nextNumber).toBeLessThan(100)
    // A mark that is old, as of a disk that was full for an hour, counts less than the clock.
    const late = (await reload()).resumePoint(clock.now() + 3_600_000)
    expect(late.nextNumber).toBeGreaterThan(3_600)
    await rig.archive.close()
  })

  test('after a proper end goes on with the next number', async () => {
    const rig = await start()
    const take = begin(rig)
    push(rig, take, 1)
    push(rig, take, 2, { gaps: names })
    await rig.archive.close()
    const folder = await reload()
    const point = folder.resumePoint(clock.now())
    expect(point).toEqual({ nextNumber: 3, takes: 1, endSeconds: 16 })
    const again = { folder, archive: archiveOf(folder) }
    const next = begin(again, 2, 3)
    push(again, next, 3)
    await again.archive.settled()
    // A crash now must not be taken for the proper end before.
    expect((await reload()).resumePoint(clock.now()).nextNumber).toBeGreaterThan(20)
    await again.archive.close()
    expect(numbers((await reload()).log)).toEqual([1, 3])
    expect((await reload()).resumePoint(clock.now()).nextNumber).toBe(4)
  })

  test('what a killed process has torn is left out', async () => {
    const rig = await start()
    const take = begin(rig)
    for (const number of [1, 2, 3]) push(rig, take, number)
    await rig.archive.close()
    const journal = join(rig.folder.path, 'segments.jsonl')
    const whole = await readFile(journal)
    const path = rig.folder.renditionPath({ folder: '1-1' }, '720p')
    // A power cut has taken the end of a segment, of the journal, and a file was being written.
    await writeFile(join(path, '2.m4s'), 'torn')
    await writeFile(join(rig.folder.path, '77.tmp'), 'torn')
    await writeFile(journal, whole.subarray(0, whole.length - 40))
    const folder = await reload()
    expect(numbers(folder.log)).toEqual([1, 3])
    expect(await strayFiles()).toEqual([])
    const archive = archiveOf(folder)
    const next = begin({ folder, archive }, 2)
    const number = folder.resumePoint(clock.now()).nextNumber
    push({ folder, archive }, next, number)
    await archive.close()
    expect(numbers((await reload()).log)).toEqual([1, 3, number])
  })

  test('whatever the journal was cut to, it loads and can be gone on with', async () => {
    const rig = await start()
    const take = begin(rig)
    for (const number of [1, 2, 3]) push(rig, take, number)
    await rig.archive.close()
    const path = join(rig.folder.path, 'segments.jsonl')
    const whole = await readFile(path)
    await fc.assert(
      fc.asyncProperty(fc.nat(whole.length), async (length) => {
        await writeFile(path, whole.subarray(0, length))
        const folder = await reload()
        const before = numbers(folder.log)
        expect([1, 2, 3].slice(0, before.length)).toEqual(before)
        const archive = archiveOf(folder)
        const next = begin({ folder, archive }, 9)
        push({ folder, archive }, next, 500)
        await archive.close()
        expect(numbers((await reload()).log)).toEqual([...before, 500])
        await rm(rig.folder.renditionPath({ folder: '1-9' }, ''), { recursive: true })
      }),
      { numRuns: 30 },
    )
  })
})

test('a replay lists whole rows only', async () => {
  const rig = await start()
  const take = begin(rig)
  push(rig, take, 1)
  push(rig, take, 2, { without: ['audio'] })
  push(rig, take, 3)
  push(rig, take, 4, { gaps: ['360p'] })
  await rig.archive.close()
  const { log } = await reload()
  const playlist = readMediaPlaylist(replayMediaPlaylist(log, settings, '360p')!)
  expect(playlist.segments.map((it) => it.uri)).toEqual([
    'abcdefgh12-1/360p/1.m4s',
    'abcdefgh12-1/360p/3.m4s',
    'abcdefgh12-1/720p/4.m4s',
  ])
  expect(replayMpd(log, settings)!.match(/<Period /g)).toHaveLength(3)
})
