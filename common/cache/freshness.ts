// How long an answer may be used: by the class of its object, never longer than upstream allows.
//
// Playlists and MPDs pass two caches, gateway and edge. Together they may delay one by less than half a
// target duration (1 s for 2 s segments), hence 400 ms each; a 404 at the live edge by half a second. A cache that reads
// media playlists goes by what they say: half a part target where there are parts.
import type { MediaObject } from './media-path.ts'

export interface ObjectPolicy {
  contentType: string
  /** Never changes under its URL: gets a strong ETag, and is fetched to the end whoever leaves. */
  isImmutable: boolean
  ttlMs: number
  /** An answer up to this age stands in while upstream fails; 0 is never. */
  staleIfErrorMs: number
  /** For downstream, where upstream says nothing. */
  cacheControl: string
}

const targetDurationMs = 4_000
// RFC 8216bis §6.2.2: a new version of a playlist appears within 1.5 target durations.
const staleIfErrorMs = 1.5 * targetDurationMs
const yearMs = 365 * 24 * 3_600_000

const short = { isImmutable: false, staleIfErrorMs, cacheControl: 'public, max-age=1' }
const forEver = {
  isImmutable: true,
  ttlMs: yearMs,
  staleIfErrorMs: 0,
  cacheControl: 'public, max-age=31536000, immutable',
}
const hls = 'application/vnd.apple.mpegurl'

const live = {
  multivariant: { ...short, contentType: hls, ttlMs: 1_000 },
  'media-playlist': { ...short, contentType: hls, ttlMs: 400 },
  mpd: { ...short, contentType: 'application/dash+xml', ttlMs: 400 },
  status: { ...short, contentType: 'application/json', ttlMs: 500 },
  init: { ...forEver, contentType: 'video/mp4' },
  segment: { ...forEver, contentType: 'video/mp4' },
  part: { ...forEver, contentType: 'video/mp4' },
} satisfies Record<MediaObject['kind'], ObjectPolicy>

/** Thumbnail, preview or storyboard of what is live: drawn anew every few seconds, and an old one is better than none. */
export function picturePolicy(contentType: string): ObjectPolicy {
  return {
    contentType,
    isImmutable: false,
    ttlMs: 2_000,
    staleIfErrorMs: 60_000,
    cacheControl: 'public, max-age=5',
  }
}

/** A replay may grow while its show still runs, so that its playlists are not for ever either. */
const replayManifest = { ttlMs: 5_000, staleIfErrorMs: 60_000 }

export function policyOf(media: MediaObject): ObjectPolicy {
  const policy: ObjectPolicy = live[media.kind]
  if (policy.isImmutable) {
    return media.rendition === 'audio' ? { ...policy, contentType: 'audio/mp4' } : policy
  }
  return media.scope === 'replay' ? { ...policy, ...replayManifest } : policy
}

/** What a media playlist says of itself. */
export interface PlaylistPace {
  targetDurationSeconds: number
  partTargetSeconds: number | undefined
}

export interface PlaylistLifetime extends Lifetime {
  /** For how long after that it is still given to whoever asks without a position, while a newer one is fetched. */
  revalidateMs: number
}

/**
 * Of a media playlist that has been read. Players of low latency ask with a position and are held, so what is given out
 * while it is renewed only reaches those that poll, and those that tune in: they may find it one part behind, no more,
 * and the 400 ms of an ordinary playlist are its lifetime once again.
 */
export function playlistLifetimeOf(
  policy: ObjectPolicy,
  answer: { status: number; cacheControl: string | undefined; ageSeconds: number },
  { targetDurationSeconds, partTargetSeconds }: PlaylistPace,
): PlaylistLifetime {
  const ownMs =
    partTargetSeconds === undefined ? 450 * targetDurationSeconds : 500 * partTargetSeconds
  const lifetime = lifetimeOf({ ...policy, ttlMs: Math.min(policy.ttlMs, ownMs) }, answer)
  const leftMs = 1_500 * targetDurationSeconds - 1_000 * answer.ageSeconds
  const staleMs = lifetime.staleMs > 0 ? Math.max(0, leftMs) : 0
  const revalidateMs = Math.min(policy.ttlMs, 1_000 * (partTargetSeconds ?? Infinity), staleMs)
  return { freshMs: lifetime.freshMs, staleMs, revalidateMs }
}

export const notFoundTtlMs = 250
/** Spares an upstream that fails the questions of a whole audience. */
export const failureTtlMs = 250

export interface Lifetime {
  /** For how long the answer is fresh from now on; 0: it serves only those who wait for it. */
  freshMs: number
  /** For how long from now on it may stand in for a failing upstream. */
  staleMs: number
}

const never: Lifetime = { freshMs: 0, staleMs: 0 }

export function lifetimeOf(
  policy: ObjectPolicy,
  answer: { status: number; cacheControl: string | undefined; ageSeconds: number },
): Lifetime {
  const { status } = answer
  const directives = parseCacheControl(answer.cacheControl)
  if (directives.has('no-store') || directives.has('private')) return never
  // 400: a position too far ahead, which may be live in a moment.
  if (status === 400 || status === 404 || status === 410) {
    return { freshMs: notFoundTtlMs, staleMs: 0 }
  }
  if (status >= 500) return { freshMs: failureTtlMs, staleMs: 0 }
  if (status !== 200) return never
  if (directives.has('no-cache')) return never
  // RFC 9111 §4.2.1: s-maxage comes before max-age in a shared cache.
  const allowed = directives.get('s-maxage') ?? directives.get('max-age')
  const allowedMs = allowed === undefined ? Infinity : (allowed - answer.ageSeconds) * 1000
  const staleMs = directives.has('must-revalidate') ? 0 : policy.staleIfErrorMs
  return { freshMs: Math.max(0, Math.min(policy.ttlMs, allowedMs)), staleMs }
}

/** Directives with their seconds; NaN where there are none. An unreadable age counts as 0: stale. */
function parseCacheControl(text: string | undefined): Map<string, number> {
  const directives = new Map<string, number>()
  if (text === undefined) return directives
  for (const item of text.split(',')) {
    const [name = '', value] = item.split('=', 2)
    const directive = name.trim().toLowerCase()
    if (directive === '') continue
    const takesSeconds = directive === 'max-age' || directive === 's-maxage'
    const seconds = /^\s*"?(\d{1,10})"?\s*$/.exec(value ?? '')?.[1]
    directives.set(directive, takesSeconds ? Number(seconds ?? 0) : Number.NaN)
  }
  return directives
}
