// The workers of an edge as one of them sees the others: which of them fills an object, and the links to them.
import type { ObjectTarget } from '../../common/cache/cache-key.ts'
import type { CacheObject } from '../../common/cache/cache-object.ts'
import type { ThreadsOfCache } from '../../common/cache/fill-cache.ts'
import type { ObjectSource } from '../../common/cache/mirror.ts'
import type { SharedMemory } from './shared-memory.ts'
import type { ThreadLink } from './thread-link.ts'

export class ThreadPeers implements ThreadsOfCache, Disposable {
  readonly #self: number
  readonly #memory: SharedMemory | undefined
  readonly #links = new Map<number, ThreadLink>()

  /** `memory` is undefined for the only worker there is. */
  constructor(self: number, memory: SharedMemory | undefined) {
    this.#self = self
    this.#memory = memory
  }

  readonly allocate = (bytes: number): Buffer =>
    this.#memory?.allocate(bytes) ?? Buffer.allocUnsafeSlow(bytes)

  /** `link` is undefined when that worker is gone. */
  set(index: number, link: ThreadLink | undefined): void {
    if (link) this.#links.set(index, link)
    else this.#links.delete(index)
  }

  get(index: number): ThreadLink | undefined {
    return this.#links.get(index)
  }

  ownerOf(target: ObjectTarget): ObjectSource | undefined {
    const hash = hashOf(ownedTogether(target))
    let owner: ThreadLink | undefined
    let most = scoreOf(hash, this.#self)
    for (const [index, link] of this.#links) {
      const score = scoreOf(hash, index)
      if (score <= most) continue
      most = score
      owner = link
    }
    return owner
  }

  left(object: CacheObject): void {
    for (const link of this.#links.values()) link.left(object)
  }

  outdated(path: string): void {
    for (const link of this.#links.values()) link.outdated(path)
  }

  [Symbol.dispose](): void {
    for (const link of [...this.#links.values()]) link[Symbol.dispose]()
  }
}

/** All of a rendition has one owner, which so knows what its playlists say of its parts. */
function ownedTogether({ media, path }: ObjectTarget): string {
  return media.rendition === undefined ? path : `${media.scope}/${media.id}/${media.rendition}`
}

/** FNV-1a. */
function hashOf(text: string): number {
  let hash = 0x811c9dc5
  for (let i = 0; i < text.length; i++) {
    hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193)
  }
  return hash
}

/** The highest one owns (rendezvous hashing): a worker that is gone leaves the objects of the others where they are. */
function scoreOf(hash: number, index: number): number {
  let score = hash ^ Math.imul(index + 1, 0x9e3779b1)
  score = Math.imul(score ^ (score >>> 16), 0x85ebca6b)
  score = Math.imul(score ^ (score >>> 13), 0xc2b2ae35)
  return (score ^ (score >>> 16)) >>> 0
}
