// What doctor says about machines: good ones, poor ones.
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import {
  checkDisk,
  checkFfmpeg,
  checkGuards,
  checkMigration,
  checkNode,
  checkOpenFiles,
  type Run,
} from '../../../bin/doctor/machine-checks.ts'

const folder = mkdtempSync(path.join(tmpdir(), 'nearcast-doctor-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

test.each([
  ['24.7.0', 'OK'],
  ['26.10.0', 'OK'],
  ['24.6.9', 'FAIL'],
  ['20.20.2', 'FAIL'],
])('Node %s is %s', (version, verdict) => {
  expect(checkNode(version)[0]?.verdict).toBe(verdict)
})

test.each([
  ['Max open files            1024                 524288               files', 'WARN'],
  ['Max open files            65536                524288               files', 'OK'],
  ['Max open files            unlimited            unlimited            files', 'OK'],
])('%s is %s', (line, verdict) => {
  expect(checkOpenFiles(`Limit   Soft   Hard\n${line}\n`)[0]?.verdict).toBe(verdict)
})

test.each([
  ['1\n', 'OK', /is 1/],
  ['0\n', 'WARN', /is 0: resets/],
])('net.ipv4.tcp_migrate_req of %j is %s', (value, verdict, detail) => {
  const [found] = checkMigration(value)
  expect(found).toMatchObject({ verdict, detail: expect.stringMatching(detail) })
})

test('a machine without /proc has nothing to say about open files', () => {
  expect(checkOpenFiles('')).toEqual([])
})

// As ffmpeg 5.1 prints them.
const listings: Record<string, string> = {
  '-version': 'ffmpeg version 5.1.9-0+deb12u1 Copyright (c) 2000-2026 the FFmpeg developers',
  '-encoders': ' V....D libx264              H.264\n A....D aac                  AAC\n',
  '-demuxers': ' D  flv             FLV\n D  mov,mp4,m4a,3gp,3g2,mj2 QuickTime / MOV\n',
  '-muxers': '  E dash            DASH Muxer\n  E flv             FLV\n  E mp4             MP4\n',
  '-filters':
    ' T.C scale             V->V       Scale\n ... split             V->N       Pass on\n',
}
const ffmpegWith =
  (changes: Record<string, string | undefined>): Run =>
  async (_command, args) => {
    const option = args.at(-1)!
    return option in changes ? changes[option] : listings[option]
  }

describe('ffmpeg', () => {
  test('with everything is fine', async () => {
    const found = await checkFfmpeg('ffmpeg', 'ffprobe', ffmpegWith({}))
    expect(found.map(({ verdict }) => verdict)).toEqual(['OK', 'OK'])
    expect(found[0]?.detail).toContain('5.1.9-0+deb12u1')
  })

  test.each([
    ['-encoders', ' A....D aac                  AAC\n', 'lacks encoder libx264'],
    ['-demuxers', ' D  mov,mp4         QuickTime\n', 'lacks demuxer flv'],
    ['-muxers', '  E flv             FLV\n  E mp4             MP4\n', 'lacks muxer dash'],
  ])('that misses one of %s fails by name', async (option, text, detail) => {
    const [found] = await checkFfmpeg('ffmpeg', 'ffprobe', ffmpegWith({ [option]: text }))
    expect(found).toMatchObject({ verdict: 'FAIL', detail: expect.stringContaining(detail) })
    expect(found?.fix).toContain('apt-get install ffmpeg')
  })

  test('that is not there fails, and its lists are not asked for', async () => {
    const asked: string[] = []
    const found = await checkFfmpeg('/opt/ffmpeg', 'ffprobe', async (_command, args) => {
      asked.push(args.at(-1)!)
      return undefined
    })
    expect(found).toMatchObject([{ verdict: 'FAIL', detail: '/opt/ffmpeg cannot be run' }])
    expect(asked).toEqual(['-version'])
  })
})

test('a guard that does not work is a warning', async () => {
  const found = await checkGuards(async (name) => (name === 'prlimit' ? '' : undefined))
  expect(found.map(({ name, verdict }) => [name, verdict])).toEqual([
    ['setpriv', 'WARN'],
    ['prlimit', 'OK'],
  ])
})

describe('disk', () => {
  test('a writable folder with space is fine, and is left as it was', () => {
    const dir = path.join(folder, 'data')
    mkdirSync(dir)
    expect(checkDisk(dir, 1)).toMatchObject([{ verdict: 'OK' }])
    expect(readdirSync(dir)).toEqual([])
  })

  test('a folder that is not there yet is judged by the place it would get', () => {
    const [found] = checkDisk(path.join(folder, 'not', 'yet'), 1)
    expect(found).toMatchObject({ verdict: 'OK', detail: expect.stringContaining('will be made') })
    expect(readdirSync(folder)).not.toContain('not')
  })

  test.each([
    [10, 'WARN'],
    [1_000, 'FAIL'],
  ])('space for a %ith of what is wanted is a %s', (times, verdict) => {
    const [space] = checkDisk(folder, 1)
    const freeBytes = Number.parseFloat(space?.detail ?? '') * 1024 ** 3
    expect(checkDisk(folder, freeBytes * times)[0]?.verdict).toBe(verdict)
  })

  test('a file in the place of the folder is a failure', () => {
    const file = path.join(folder, 'file')
    writeFileSync(file, '')
    expect(checkDisk(path.join(file, 'data'), 1)[0]?.verdict).toBe('FAIL')
  })
})
