// Complete objects in memory, the least recently used ones leaving first; sized in bytes.
import { LRUCache } from 'lru-cache'
import type { EvictionReason } from './cache-metrics.ts'
import type { CacheObject } from './cache-object.ts'

/** Times are monotonic milliseconds. */
export interface StoredObject {
  object: CacheObject
  freshUntil: number
  /** Until then it may stand in for a failing upstream. */
  staleUntil: number
  /** While stale: upstream has just failed and is not asked again before. */
  retryAt: number
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
  #isClearing = false

  constructor(options: { maxBytes: number; onEvicted: (reason: EvictionReason) => void }) {
    this.#objects = new LRUCache({
      maxSize: options.maxBytes,
      sizeCalculation: (stored) => stored.object.size + overheadBytes,
      dispose: (_stored, _key, reason) => {
        const why = reasons[reason]
        if (why && !this.#isClearing) options.onEvicted(why)
      },
    })
  }

  get bytes(): number {
    return this.#objects.calculatedSize
  }

  get count(): number {
    return this.#objects.size
  }

  get(key: string): StoredObject | undefined {
    return this.#objects.get(key)
  }

  /** Without being used by that. */
  peek(key: string): StoredObject | undefined {
    return this.#objects.peek(key)
  }

  set(key: string, stored: StoredObject): void {
    this.#objects.set(key, stored)
  }

  /** Forgets every object whose path starts so; answers how many. */
  purge(prefix: string): number {
    const doomed = [...this.#objects.keys()].filter((key) => key.startsWith(prefix))
    for (const key of doomed) this.#objects.delete(key)
    return doomed.length
  }

  clear(): void {
    this.#isClearing = true
    this.#objects.clear()
  }
}
