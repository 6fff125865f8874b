// One version of a live playlist or MPD: the object that holds it, and what it says of itself.
import { deltaUpdate } from '../../../media/hls/playlist-delta.ts'
import { type MediaPlaylistFacts, readMediaPlaylist } from '../../../media/hls/playlist-reader.ts'
import { CacheObject } from '../cache-object.ts'
import { lifetimeOf, playlistLifetimeOf } from '../freshness.ts'
import { readMpdProgress } from './mpd-progress.ts'
import { type Progress, takeOf } from './version-order.ts'

/** Times are monotonic milliseconds. */
export interface LiveVersion {
  object: CacheObject
  /** Undefined for an MPD. */
  facts: MediaPlaylistFacts | undefined
  progress: Progress
  targetDurationMs: number
  receivedAt: number
  freshUntil: number
  /** Until then it is given out while a newer one is fetched. */
  revalidateUntil: number
  /** Until then it stands in for a failing upstream. */
  staleUntil: number
  /** Without what a client has, made when the first one asks for it. */
  delta?: CacheObject
}

/** Of an MPD, which does not say. */
export const usualTargetDurationMs = 4_000

/** Undefined where the answer is not to be reused, or cannot be read: then nothing is known of it. */
export function readVersion(object: CacheObject, now: number): LiveVersion | undefined {
  const { head, policy } = object
  if (head?.status !== 200 || !head.isDelimited || head.contentEncoding !== undefined) {
    return undefined
  }
  if (/no-store|private|no-cache/i.test(head.cacheControl ?? '')) return undefined
  const text = object.slice(0, object.size).toString('latin1')
  if (object.target.media.kind === 'mpd') {
    const progress = readMpdProgress(text)
    const { freshMs, staleMs } = lifetimeOf(policy, head)
    const times = timesOf(now, { freshMs, staleMs, revalidateMs: Math.min(freshMs, staleMs) })
    return (
      progress && {
        object,
        facts: undefined,
        progress,
        ...times,
        targetDurationMs: usualTargetDurationMs,
      }
    )
  }
  const facts = readMediaPlaylist(text)
  if (!facts) return undefined
  return {
    object,
    facts,
    progress: {
      take: takeOf(facts.lastUri),
      first: facts.mediaSequence,
      position: [facts.lastNumber, facts.openParts],
      discontinuities: facts.discontinuities,
      isEnded: facts.isEnded,
    },
    targetDurationMs: facts.targetDurationSeconds * 1000,
    ...timesOf(now, playlistLifetimeOf(policy, head, facts)),
  }
}

/** The version as it is asked for: a delta where the server promises one, and the show is not over. */
export function objectOf(version: LiveVersion, wantsDelta: boolean): CacheObject {
  const { object, facts } = version
  if (!wantsDelta || facts?.skipUntilSeconds === undefined || facts.isEnded) return object
  version.delta ??= deltaOf(version, facts.skipUntilSeconds)
  return version.delta
}

function deltaOf({ object, receivedAt }: LiveVersion, skipUntilSeconds: number): CacheObject {
  const text = object.slice(0, object.size).toString('latin1')
  const shorter = deltaUpdate(text, skipUntilSeconds)
  if (shorter === text) return object
  const body = Buffer.from(shorter, 'latin1')
  const delta = new CacheObject(object.target, object.policy)
  // What upstream calls this version does not name these bytes.
  delta.begin({ ...object.head!, length: body.length, etag: undefined }, receivedAt)
  delta.append(body)
  delta.complete()
  return delta
}

function timesOf(
  now: number,
  lifetime: { freshMs: number; staleMs: number; revalidateMs: number },
): Pick<LiveVersion, 'receivedAt' | 'freshUntil' | 'revalidateUntil' | 'staleUntil'> {
  const freshUntil = now + lifetime.freshMs
  return {
    receivedAt: now,
    freshUntil,
    revalidateUntil: freshUntil + lifetime.revalidateMs,
    staleUntil: now + lifetime.staleMs,
  }
}
