// How long which answer may be used.
import { describe, expect, it } from 'vitest'
import {
  lifetimeOf,
  picturePolicy,
  playlistLifetimeOf,
  policyOf,
} from '../../../common/cache/freshness.ts'
import { classify } from '../../../common/cache/media-path.ts'

const segment = policyOf(classify('/live/demo/abcdef12-1/720p/1.m4s')!)
const playlist = policyOf(classify('/live/demo/720p.m3u8')!)
const multivariant = policyOf(classify('/live/demo/index.m3u8')!)
const immutable = 'public, max-age=31536000, immutable'

describe('policyOf', () => {
  it.each([
    ['/live/demo/index.m3u8', 'application/vnd.apple.mpegurl', false],
    ['/live/demo/manifest.mpd', 'application/dash+xml', false],
    ['/live/demo/status.json', 'application/json', false],
    ['/live/demo/timeline.mpd', 'application/dash+xml', false],
    ['/live/demo/720p-iframes.m3u8', 'application/vnd.apple.mpegurl', false],
    ['/live/demo/abcdef12-1/720p/p7.m4s', 'video/mp4', true],
    ['/live/demo/abcdef12-1/720p/init.mp4', 'video/mp4', true],
    ['/live/demo/abcdef12-1/audio/1.m4s', 'audio/mp4', true],
  ])('of %s', (path, contentType, isImmutable) => {
    expect(policyOf(classify(path)!)).toMatchObject({ contentType, isImmutable })
  })

  it('lets a picture stand in for a minute', () => {
    const lifetime = lifetimeOf(picturePolicy('image/jpeg'), {
      status: 200,
      cacheControl: undefined,
      ageSeconds: 0,
    })
    expect(lifetime).toEqual({ freshMs: 2_000, staleMs: 60_000 })
  })

  it('lets a live playlist through two caches within half a target duration of 2 s', () => {
    expect(2 * playlist.ttlMs).toBeLessThan(1_000)
  })
})

describe('lifetimeOf', () => {
  const answer = (cacheControl: string | undefined, status = 200, ageSeconds = 0) => ({
    status,
    cacheControl,
    ageSeconds,
  })

  it.each([
    ['the class where upstream is silent', playlist, answer(undefined), 400],
    ['the class where upstream allows more', playlist, answer('max-age=60'), 400],
    ['upstream where it allows less', multivariant, answer('max-age=0'), 0],
    ['what is left after the age so far', multivariant, answer('max-age=2', 200, 1), 1_000],
    ['nothing when older than allowed', multivariant, answer('max-age=2', 200, 9), 0],
    ['s-maxage before max-age', multivariant, answer('max-age=0, s-maxage=1'), 1_000],
    ['a year for what never changes', segment, answer(immutable), 365 * 24 * 3_600_000],
    ['nothing for no-store', segment, answer('no-store'), 0],
    ['nothing for private', segment, answer('Private'), 0],
    ['nothing for no-cache', segment, answer('no-cache'), 0],
    ['nothing for an unreadable max-age', segment, answer('max-age=soon'), 0],
    ['a moment for a 404, whatever it says', segment, answer('max-age=3600', 404), 250],
    ['a moment for a position too far ahead', playlist, answer(undefined, 400), 250],
    ['a moment for a failure', playlist, answer(undefined, 503), 250],
    ['nothing for another refusal', playlist, answer(undefined, 403), 0],
  ])('gives %s', (_what, policy, head, freshMs) => {
    expect(lifetimeOf(policy, head).freshMs).toBe(freshMs)
  })

  it('lets a playlist stand in for 1.5 target durations, a segment never', () => {
    expect(lifetimeOf(playlist, answer('max-age=1')).staleMs).toBe(6_000)
    expect(lifetimeOf(playlist, answer('max-age=1, must-revalidate')).staleMs).toBe(0)
    expect(lifetimeOf(segment, answer(immutable)).staleMs).toBe(0)
    expect(lifetimeOf(playlist, answer(undefined, 404)).staleMs).toBe(0)
  })
})

describe('playlistLifetimeOf', () => {
  const allowed = { status: 200, cacheControl: 'public, max-age=1', ageSeconds: 0 }

  it.each([
    [4, 0.5, { freshMs: 250, revalidateMs: 400, staleMs: 6_000 }],
    [4, 0.2, { freshMs: 100, revalidateMs: 200, staleMs: 6_000 }],
    [6, 2, { freshMs: 400, revalidateMs: 400, staleMs: 9_000 }],
    [4, undefined, { freshMs: 400, revalidateMs: 400, staleMs: 6_000 }],
  ])('of target duration %d and part target %d', (target, part, lifetime) => {
    const pace = { targetDurationSeconds: target, partTargetSeconds: part }
    expect(playlistLifetimeOf(playlist, allowed, pace)).toEqual(lifetime)
  })

  it('is never more than upstream allows, and counts the age so far', () => {
    const pace = { targetDurationSeconds: 4, partTargetSeconds: 0.5 }
    const of = (changes: object) => playlistLifetimeOf(playlist, { ...allowed, ...changes }, pace)
    expect(of({ ageSeconds: 5 })).toEqual({ freshMs: 0, revalidateMs: 400, staleMs: 1_000 })
    expect(of({ ageSeconds: 9 })).toEqual({ freshMs: 0, revalidateMs: 0, staleMs: 0 })
    const forbidden = of({ cacheControl: 'max-age=1, must-revalidate' })
    expect(forbidden).toEqual({ freshMs: 250, revalidateMs: 0, staleMs: 0 })
  })
})
