import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { readLadder } from '../../../config/ladder.ts'
import { planVideo } from '../../../origin/transcoder/ladder.ts'

const copy = { canCopySource: true, sourceBitsPerSecond: 6_000_000 }

describe('the default ladder', () => {
  test.each([
    [1920, 1080, '1920x1080 copied, 1280x720, 854x480, 640x360'],
    [1280, 720, '1280x720 copied, 854x480, 640x360'],
    [1280, 800, '1280x800 copied, 1152x720, 768x480, 576x360'],
    [1080, 1920, '1080x1920 copied, 608x1080, 406x720, 270x480, 202x360'],
    [640, 360, '640x360 copied'],
    [320, 240, '320x240 copied'],
    [3840, 2160, '3840x2160 copied, 1920x1080, 1280x720, 854x480, 640x360'],
  ])('of a source of %d by %d', async (width, height, expected) => {
    const ladder = readLadder('default')
    const plan = planVideo(ladder, { width, height }, copy)
    expect(
      plan.map((it) => `${it.width}x${it.height}${it.isCopied ? ' copied' : ''}`).join(', '),
    ).toBe(expected)
    expect(plan[0]).toMatchObject({ name: `${height}p`, isSource: true, videoBitsPerSecond: 0 })
  })

  test('encodes the source at its own rate when it cannot be copied', async () => {
    const ladder = readLadder('default')
    const [source] = planVideo(
      ladder,
      { width: 1280, height: 720 },
      { ...copy, canCopySource: false },
    )
    expect(source).toMatchObject({ isCopied: false, isSource: true, videoBitsPerSecond: 6_000_000 })
    const [quiet] = planVideo(
      ladder,
      { width: 1280, height: 720 },
      { canCopySource: false, sourceBitsPerSecond: 0 },
    )
    expect(quiet!.videoBitsPerSecond).toBe(2_500_000)
  })
})

test('no rung gets more bits than the source has, where that is known', async () => {
  const ladder = readLadder('default')
  const rates = (sourceBitsPerSecond: number) =>
    planVideo(ladder, { width: 540, height: 960 }, { ...copy, sourceBitsPerSecond }).map(
      (it) => it.videoBitsPerSecond,
    )
  expect(rates(1_000_000)).toEqual([0, 1_000_000, 1_000_000, 700_000])
  expect(rates(0)).toEqual([0, 2_500_000, 1_200_000, 700_000])
  expect(rates(1)).toEqual([0, 2_500_000, 1_200_000, 700_000])
})

test('no rung is ever above the source, odd, or twice the same', async () => {
  const ladders = ['default', '2160', 'passthrough'].map(readLadder)
  fc.assert(
    fc.property(
      fc.constantFrom(...ladders),
      fc.integer({ min: 16, max: 3840 }),
      fc.integer({ min: 16, max: 2160 }),
      (ladder, width, height) => {
        const [source, ...rungs] = planVideo(ladder, { width, height }, copy)
        expect(source).toMatchObject({ width, height })
        for (const rung of rungs) {
          expect(rung.height).toBeLessThan(height)
          expect(rung.width % 2).toBe(0)
          expect(rung.height % 2).toBe(0)
          expect(Math.abs(rung.width / rung.height - width / height)).toBeLessThan(
            (2 / rung.height) * Math.max(1, width / height),
          )
        }
        expect(new Set([source!.name, ...rungs.map((it) => it.name)]).size).toBe(rungs.length + 1)
      },
    ),
  )
})

test('passthrough makes nothing but the source', async () => {
  const plan = planVideo(readLadder('passthrough'), { width: 1920, height: 1080 }, copy)
  expect(plan).toHaveLength(1)
})

describe('a ladder file', () => {
  test.each([
    ['an unknown key', 'name: x\nrungs: []\npresett: fast\n', /presett/i],
    [
      'two rungs of one height',
      'name: x\nrungs: [{height: 480, videoBitsPerSecond: 900000}, {height: 480, videoBitsPerSecond: 800000}]\n',
      /same height/,
    ],
    ['a rung without a rate', 'name: x\nrungs: [{height: 480}]\n', /rungs\.0\.videoBitsPerSecond/],
    ['no YAML', '{', /ladder\.yaml/],
  ])('with %s is refused with its place', async (_, text, reason) => {
    const dir = await mkdtemp(join(tmpdir(), 'nearcast-ladder-'))
    try {
      const path = join(dir, 'ladder.yaml')
      await writeFile(path, text)
      expect(() => readLadder(path)).toThrow(reason)
    } finally {
      await rm(dir, { recursive: true, force: true })
    }
  })

  test('that is not there is named', async () => {
    expect(() => readLadder('nonesuch')).toThrow(/config\/ladders\/nonesuch\.yaml/)
  })
})
