// The packager and the archive together: what was published is what the replay has.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { SegmentLog } from '../../../common/live/segment-log.ts'
import { silentLogger } from '../../../common/log.ts'
import { BroadcastFolder } from '../../../origin/archive/broadcast-folder.ts'
import { SegmentArchive } from '../../../origin/archive/segment-archive.ts'
import { replayMediaPlaylist, replayMultivariant } from '../../../origin/packager/hls-replay.ts'
import { FakeClock } from '../../support/fake-clock.ts'
import { readWithHlsParser, readWithM3u8Parser } from '../../support/hls-parsers.ts'
import {
  deliver,
  interleave,
  packagerRig,
  pictures,
  sounds,
  startTake,
  takePlan,
} from '../../support/packager-rig.ts'
import { broadcast } from '../../support/segment-logs.ts'

let root: string

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'nearcast-replay-'))
})

afterEach(async () => {
  await rm(root, { recursive: true, force: true })
})

const show = fc.array(
  fc.record({
    seconds: fc.integer({ min: 1, max: 15 }),
    pauseSeconds: fc.constantFrom(0, 0.3, 2.5, 20),
    /** Of the lower rung: an encoder that falls behind ends it early. */
    rungShare: fc.constantFrom(0, 0.4, 1),
    isFilled: fc.boolean(),
    hasSound: fc.boolean(),
  }),
  { minLength: 1, maxLength: 3 },
)

test('the recording has every segment that was published, and a replay lists each of them', async () => {
  await fc.assert(
    fc.asyncProperty(show, async (takes) => {
      const rig = packagerRig()
      let fromSeconds = 10
      for (const [
        index,
        { seconds, pauseSeconds, rungShare, isFilled, hasSound },
      ] of takes.entries()) {
        const name = `take-${index + 1}`
        const names = ['720p', '360p', ...(hasSound ? ['audio'] : [])]
        startTake(rig.packager, takePlan({ name, number: index + 1, names }), fromSeconds)
        const picture = (share: number) =>
          pictures({
            framesPerSecond: 25,
            fromSeconds,
            seconds: seconds * share,
            isKeyframe: (frame) => frame % 50 === 0,
          })
        deliver(
          rig,
          name,
          interleave({
            '720p': picture(1),
            '360p': picture(rungShare),
            ...(hasSound && { audio: sounds(48_000, fromSeconds, seconds) }),
          }),
        )
        rig.packager.endTake(name)
        fromSeconds += seconds + pauseSeconds
        if (isFilled) rig.packager.fillGaps(fromSeconds)
      }
      rig.packager.end()
      expect(rig.faults).toEqual([])

      const facts = { ...broadcast, broadcastId: crypto.randomUUID() }
      const folder = await BroadcastFolder.create(root, new SegmentLog(facts))
      const dropped: string[] = []
      const archive = new SegmentArchive({
        folder,
        clock: new FakeClock(),
        log: silentLogger,
        onDropped: (reason) => dropped.push(reason),
      })
      for (const { segment, bytes } of rig.committed) archive.segment(segment, [bytes])
      // Rows are journalled as they come, not only at the end.
      await archive.settled()
      const whole = folder.log.rows.length
      await archive.close()
      expect(folder.log.rows).toHaveLength(whole)
      expect(dropped).toEqual([])

      const { log } = (await BroadcastFolder.load(folder.path))!
      const published = rig.committed
        .filter(({ segment }) => !segment.isGap)
        .map(({ segment }) => `${segment.take.name}/${segment.rendition.name}/${segment.number}`)
      const recorded = log.rows.flatMap((row) =>
        Object.keys(row.segments).map((name) => `${row.take}/${name}/${row.number}`),
      )
      expect(recorded.sort()).toEqual(published.sort())
      expect(folder.resumePoint(0).nextNumber).toBe(rig.packager.nextNumber)
      if (log.rows.length > 0) {
        const offered = replayMultivariant(log)!.match(/\w+(?=\.m3u8)/g)!
        for (const name of new Set(offered)) {
          const text = replayMediaPlaylist(log, { targetDurationSeconds: 4 }, name)!
          expect(readWithM3u8Parser(text).complaints).toEqual([])
          expect(readWithHlsParser(text).complaints).toEqual([])
        }
      }
      await folder.delete()
    }),
    { numRuns: 25 },
  )
})
