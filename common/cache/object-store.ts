// Complete objects in memory, the least recently used ones leaving first; sized in bytes.
import { LRUCache } from 'lru-cache'
import type { EvictionReason } from './cache-metrics.ts'
import type { CacheObject } from './cache-object.ts'
import type { ObjectSource } from './mirror.ts'

/** Times are monotonic milliseconds. */
export interface StoredObject {
  object: CacheObject
  freshUntil: number
  /** Until then it may stand in for a failing upstream. */
  staleUntil: number
  /** While stale: upstream has just failed and is not asked again before. */
  retryAt: number
  /** The bytes are another thread's, this one's, and counted there. */
  mirrorOf?: ObjectSource
}

// Key, headers and bookkeeping; measured with keys of 60 characters.
const overheadBytes = 1_024

/** By the words of the LRU. */
const reasons: Partial<Record<LRUCache.DisposeReason, EvictionReason>> = {
  evict: 'room',
  delete: 'purge',
}

export class ObjectStore {
  readonly #objects: LRUCache<string, StoredObject>
  #mirrors = 0
  #isClearing = false

  constructor(options: {
    maxBytes: number
    onEvicted: (reason: EvictionReason) => void
    /** An object has left, in whatever way. */
    onLeft?: (stored: StoredObject) => void
  }) {
    this.#objects = new LRUCache({
      maxSize: options.maxBytes,
      sizeCalculation: (stored) => (stored.mirrorOf ? 0 : stored.object.size) + overheadBytes,
      dispose: (stored, _key, reason) => {
        const why = reasons[reason]
        if (stored.mirrorOf) this.#mirrors--
        else if (why && !this.#isClearing) options.onEvicted(why)
        options.onLeft?.(stored)
      },
    })
  }

  get bytes(): number {
    return this.#objects.calculatedSize
  }

  /** Without mirrors. */
  get count(): number {
    return this.#objects.size - this.#mirrors
  }

  get(key: string): StoredObject | undefined {
    return this.#objects.get(key)
  }

  /** Without being used by that. */
  peek(key: string): StoredObject | undefined {
    return this.#objects.peek(key)
  }

  set(key: string, stored: StoredObject): void {
    if (stored.mirrorOf) this.#mirrors++
    this.#objects.set(key, stored)
  }

  delete(key: string): void {
    this.#objects.delete(key)
  }

  /** Forgets every object whose path starts so; answers how many, without mirrors. */
  purge(prefix: string): number {
    const before = this.count
    const doomed = [...this.#objects.keys()].filter((key) => key.startsWith(prefix))
    for (const key of doomed) this.#objects.delete(key)
    return before - this.count
  }

  /** That thread is no more: its bytes are counted here. The order of use remains. */
  adopt(source: ObjectSource): void {
    const mirrors = [...this.#objects.keys()].toReversed().flatMap((key) => {
      const stored = this.peek(key)
      return stored?.mirrorOf === source ? [[key, stored] as const] : []
    })
    for (const [key, { object, freshUntil, staleUntil, retryAt }] of mirrors) {
      this.set(key, { object, freshUntil, staleUntil, retryAt })
    }
  }

  clear(): void {
    this.#isClearing = true
    this.#objects.clear()
  }
}
