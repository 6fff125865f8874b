import { describe, expect, test } from 'vitest'
import { writeFragment } from '../../../media/mp4/fragment-writer.ts'
import { MemoryCommitLog, segmentFault } from '../../../origin/packager/commit-log.ts'
import { pictureTrack } from '../../support/packager-rig.ts'

const entry = (number: number, epoch: number, rendition = '720p') => ({
  rendition,
  number,
  epoch,
  take: 'take-1',
  startTicks: 0,
  durationTicks: 180_000,
  sizeBytes: 1000,
})

describe('the commit log', () => {
  test('takes the first segment of a number and of a rendition', () => {
    const log = new MemoryCommitLog()
    expect(log.commit(entry(1, 1))).toBe('committed')
    expect(log.commit(entry(1, 1))).toBe('duplicate')
    expect(log.commit(entry(1, 1, 'audio'))).toBe('committed')
    expect(log.commit(entry(2, 1))).toBe('committed')
  })

  test('refuses an epoch that has been overtaken, whatever the rendition', () => {
    const log = new MemoryCommitLog()
    expect(log.commit(entry(1, 2))).toBe('committed')
    expect(log.commit(entry(2, 1))).toBe('fenced')
    expect(log.commit(entry(1, 1, 'audio'))).toBe('fenced')
    expect(log.commit(entry(2, 3))).toBe('committed')
    expect(log.commit(entry(3, 2))).toBe('fenced')
  })
})

describe('a segment', () => {
  const track = pictureTrack(720)
  const part = (startTicks: number, frames: number) => {
    const samples = Array.from({ length: frames }, (_, index) => ({
      dts: startTicks + index * 3000,
      cts: 0,
      duration: 3000,
      isKeyframe: index === 0,
      data: Buffer.from('picture'),
    }))
    const { bytes } = writeFragment({ sequenceNumber: 1, trackId: 1, samples })
    return { startTicks, durationTicks: samples.length * 3000, isGap: false, bytes }
  }

  test('is whole when its parts follow each other within a frame', () => {
    expect(segmentFault([part(90_000, 15), part(135_000, 15)], track, 3000)).toBeUndefined()
    expect(segmentFault([part(90_000, 15), part(136_000, 15)], track, 3000)).toBeUndefined()
  })

  test('may jump over a gap, and nowhere else', () => {
    const gap = { startTicks: 135_000, durationTicks: 45_000, isGap: true, bytes: Buffer.alloc(0) }
    expect(segmentFault([part(90_000, 15), gap, part(180_000, 15)], track, 3000)).toBeUndefined()
    expect(segmentFault([part(90_000, 15), part(180_000, 15)], track, 3000)).toMatch(/jumps/)
  })

  test('is refused when its boxes are cut off or tell another time', () => {
    const { bytes } = part(90_000, 15)
    const cut = {
      startTicks: 90_000,
      durationTicks: 45_000,
      isGap: false,
      bytes: bytes.subarray(0, -3),
    }
    expect(segmentFault([cut], track, 3000)).toBeDefined()
    expect(segmentFault([{ ...part(90_000, 15), startTicks: 93_000 }], track, 3000)).toMatch(
      /another time/,
    )
  })
})
