// Numbers as people read them.
import { describe, expect, test } from 'vitest'
import {
  formatBitrate,
  formatBytes,
  formatDuration,
  formatMoment,
  formatPercent,
  formatSeconds,
} from '../../../web/common/format.ts'

const plain = (text: string) => text.replaceAll('\u00a0', ' ')

describe('formats', () => {
  test.each([
    [0, '0 b/s'],
    [950, '950 b/s'],
    [2_512_345, '2.51 Mb/s'],
    [25_100_000, '25.1 Mb/s'],
    [128_000, '128 kb/s'],
    [3.2e15, '3,200 Tb/s'],
  ])('%d bits per second as %s', (value, expected) => {
    expect(plain(formatBitrate(value, 'en'))).toBe(expected)
  })

  test.each([
    [0, '0 B'],
    [1536, '1.5 KiB'],
    [734_003_200, '700 MiB'],
  ])('%d bytes as %s', (value, expected) => {
    expect(plain(formatBytes(value, 'en'))).toBe(expected)
  })

  test.each([
    [-5, '0:00'],
    [7_999, '0:07'],
    [751_000, '12:31'],
    [3_723_000, '1:02:03'],
    [360_000_000, '100:00:00'],
  ])('%d ms as %s', (value, expected) => {
    expect(formatDuration(value)).toBe(expected)
  })

  test.each([
    [0.04, '0.0 s'],
    [2.449, '2.4 s'],
    [12.6, '13 s'],
  ])('%d seconds as %s', (value, expected) => {
    expect(plain(formatSeconds(value, 'en'))).toBe(expected)
  })

  test.each([
    [0, '0%'],
    [0.034, '3.4%'],
    [0.5, '50%'],
    [1.25, '125%'],
  ])('a share of %d as %s', (value, expected) => {
    expect(formatPercent(value, 'en')).toBe(expected)
  })

  test('a moment that is none is nothing', () => {
    expect(formatMoment('never', 'en')).toBe('')
    expect(formatMoment('2026-01-02T03:04:05Z', 'zh-CN')).toContain('2026')
  })
})
