// The pure parts of the player: stalls, first picture, latency, addresses and keys.
import { describe, expect, test } from 'vitest'
import { actionOf } from '../../../web/watch/keys.ts'
import {
  joinDistanceSeconds,
  latencyFromDate,
  sortChoices,
} from '../../../web/watch/player/choice.ts'
import { PlaybackMonitor } from '../../../web/watch/player/playback-monitor.ts'
import { manifestUrl, readAddress, searchOf } from '../../../web/watch/programme.ts'

describe('playback monitor', () => {
  function watch(times: (number | 'paused')[], stepMs = 250) {
    const monitor = new PlaybackMonitor(0)
    let last = 0
    const moved = times.map((time, i) => {
      if (time !== 'paused') last = time
      return monitor.sample({ at: i * stepMs, currentTime: last, isIdle: time === 'paused' })
    })
    return { monitor, moved }
  }

  test('a picture that moves has no stalls', () => {
    const { monitor, moved } = watch([0, 0.25, 0.5, 0.75])
    expect(moved).toEqual([false, true, true, true])
    expect(monitor.stalls).toBe(0)
  })

  test('counts each stand-still once', () => {
    const { monitor } = watch([0, 1, 1, 1, 1, 1, 2, 2, 2, 2, 3])
    expect(monitor.stalls).toBe(2)
    expect(monitor.isStalled).toBe(false)
  })

  test('a start that takes long is no stall', () => {
    expect(watch([0, 0, 0, 0, 0, 0, 0.2]).monitor.stalls).toBe(0)
  })

  test('a pause is no stall, and a stand-still after it is', () => {
    expect(watch([0, 1, 'paused', 'paused', 'paused', 'paused', 1]).monitor.stalls).toBe(0)
    expect(watch([0, 1, 'paused', 'paused', 1, 1, 1]).monitor.stalls).toBe(1)
  })

  test('a jump back is no progress', () => {
    expect(watch([5, 6, 2, 2.25]).moved).toEqual([false, true, false, true])
  })

  test('keeps the time to the first picture only', () => {
    const monitor = new PlaybackMonitor(100)
    expect(monitor.timeToFirstPictureMs).toBeNull()
    monitor.pictureShown(900)
    monitor.pictureShown(5_000)
    expect(monitor.timeToFirstPictureMs).toBe(800)
  })
})

describe('latency by the time of day in the media', () => {
  test.each([
    ['clocks that agree', 10_000, 12_500, 0, 2.5],
    ['an offset within the rounding of a Date header', 10_000, 12_500, 900, 2.5],
    ['a clock that is an hour wrong', 10_000, 3_612_500, -3_600_000, 2.5],
    ['media from the future', 20_000, 12_500, 0, null],
    ['media of yesterday', 0, 86_400_000, 0, null],
  ])('%s', (_name, playingAt, now, offset, expected) => {
    expect(latencyFromDate(playingAt, now, offset)).toBe(expected)
  })
})

test.each([
  [4, 2, 7],
  [2, 2, 5],
  [4, 4, 10],
  [2, 6, 6],
])('target duration %d and segments of %d s join %d s behind', (target, segment, expected) => {
  expect(joinDistanceSeconds(target, segment)).toBe(expected)
})

test('choices are listed best first', () => {
  const choice = (id: string, height: number, bitsPerSecond: number) => ({
    id,
    height,
    bitsPerSecond,
    framesPerSecond: null,
  })
  const sorted = sortChoices([choice('a', 360, 1), choice('b', 720, 1), choice('c', 720, 2)])
  expect(sorted.map(({ id }) => id)).toEqual(['c', 'b', 'a'])
})

describe('address of a watch page', () => {
  const replayId = '7d0a6d3c-3b0e-4d7e-8f0e-3c8f2b8f8a01'
  const live = { liveId: 'demo', programme: { kind: 'live' } }

  test.each([
    ['/watch/demo', '', live],
    ['/watch/demo/', '?lang=en', live],
    [
      '/watch/demo',
      `?replay=${replayId}`,
      { liveId: 'demo', programme: { kind: 'replay', replayId } },
    ],
    ['/watch/demo', '?replay=../../x', live],
    ['/watch/', '', undefined],
    ['/watch/Demo', '', undefined],
    ['/watch/%2e%2e', '', undefined],
    ['/watch/a/b', '', undefined],
  ])('%s%s', (pathname, search, expected) => {
    expect(readAddress(pathname, search)).toEqual(expected)
  })

  test('a programme can be read back from the address that is made for it', () => {
    const programme = { kind: 'replay', replayId } as const
    expect(readAddress('/watch/demo', searchOf(programme))?.programme).toEqual(programme)
    expect(manifestUrl('demo', programme, 'dash')).toBe(`/replay/${replayId}/manifest.mpd`)
    expect(manifestUrl('demo', { kind: 'live' }, 'hls')).toBe('/live/demo/index.m3u8')
  })
})

describe('keys', () => {
  const press = { ctrlKey: false, metaKey: false, altKey: false, target: 'body', inputType: null }

  test.each([
    ['plays with space', { key: ' ' }, 'play'],
    ['reads capitals too', { key: 'M' }, 'mute'],
    ['knows the question mark', { key: '?' }, 'help'],
    ['leaves unknown keys', { key: 'x' }, undefined],
    ['leaves shortcuts of the browser', { key: 'f', ctrlKey: true }, undefined],
    ['leaves space to a focused button', { key: ' ', target: 'button' }, undefined],
    ['takes letters from a focused button', { key: 'f', target: 'button' }, 'fullscreen'],
    [
      'leaves arrows to a slider',
      { key: 'ArrowUp', target: 'input', inputType: 'range' },
      undefined,
    ],
    ['takes letters from a slider', { key: 'm', target: 'input', inputType: 'range' }, 'mute'],
    ['leaves all to a text field', { key: 'm', target: 'input', inputType: 'text' }, undefined],
    ['leaves all to a list', { key: 'ArrowDown', target: 'select' }, undefined],
  ])('%s', (_name, change, expected) => {
    expect(actionOf({ ...press, ...change })).toBe(expected)
  })
})
