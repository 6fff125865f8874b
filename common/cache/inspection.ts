// What a cache has of one object, told without touching it: for people who ask why.
import { Fill } from './fill.ts'
import type { LiveInspection } from './live/live-rendition.ts'
import type { Mirror } from './mirror.ts'
import type { StoredObject } from './object-store.ts'

/** What is here of one object, without touching it; plain data. */
export interface Inspection {
  /** What the next request would get. */
  next: 'hit' | 'stale-hit' | 'too-far' | 'held' | 'joins' | 'fill' | 'overloaded'
  stored?: {
    status: number
    bytes: number
    ageSeconds: number
    /** Negative: for so long no longer. */
    freshMs: number
    /** For so long it may still stand in for an upstream that fails; negative: no more. */
    staleMs: number
    isImmutable: boolean
    cacheControl: string | undefined
  }
  fill?: {
    state: 'waiting' | 'growing'
    sinceMs: number
    status: number | undefined
    bytes: number
    length: number | undefined
    readers: number
    isHeld: boolean
    origins: string[]
  }
  /** Of a playlist or MPD that is read here. */
  live?: LiveInspection
}

export interface Inspected {
  now: number
  /** The request would be held upstream. */
  blocking: boolean
  stored: StoredObject | undefined
  fill: Fill | Mirror | undefined
  live: LiveInspection | undefined
  /** No fill can begin. */
  isFull: boolean
}

export function inspected(found: Inspected): Inspection {
  const { now, blocking, stored, fill, live } = found
  return {
    next: live?.next ?? nextOf(found),
    ...(live && { live }),
    ...(stored && {
      stored: {
        status: stored.object.head!.status,
        bytes: stored.object.size,
        ageSeconds: stored.object.ageSeconds(now),
        freshMs: Math.round(stored.freshUntil - now),
        staleMs: Math.round(stored.staleUntil - now),
        isImmutable: stored.object.policy.isImmutable,
        cacheControl: stored.object.head!.cacheControl,
      },
    }),
    ...(fill && {
      fill: {
        state: fill.object.state === 'waiting' ? 'waiting' : 'growing',
        sinceMs: Math.round(now - fill.startedAt),
        status: fill.object.head?.status,
        bytes: fill.object.size,
        length: fill.object.length,
        readers: fill.object.readers,
        isHeld: blocking && fill.object.state === 'waiting',
        // Of one that another thread fills, that thread tells.
        origins: fill instanceof Fill ? [...fill.origins] : [],
      },
    }),
  }
}

function nextOf({ now, stored, fill, isFull }: Inspected): Inspection['next'] {
  if (stored && stored.freshUntil > now) return 'hit'
  if (stored && now < stored.retryAt && now < stored.staleUntil) return 'stale-hit'
  if (fill) return 'joins'
  return isFull ? 'overloaded' : 'fill'
}
