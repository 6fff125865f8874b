// What two workers tell each other about objects, over a port between them. Either asks the other for the objects that
// the other fills; heads and sizes go over the port, bodies stay in memory that both see.
//
// Messages of one direction arrive in their order: what is told of an object comes after all that was told of the one
// before under its key.
import type { ObjectTarget } from '../../common/cache/cache-key.ts'
import type { CacheObject } from '../../common/cache/cache-object.ts'
import type { FillCache } from '../../common/cache/fill-cache.ts'
import type { ObjectSource } from '../../common/cache/mirror.ts'
import type { ObjectNews } from '../../common/cache/object-feed.ts'

type LinkMessage =
  | { kind: 'open'; id: number; target: ObjectTarget }
  | { kind: 'leave'; id: number }
  | { kind: 'news'; id: number; news: ObjectNews }
  /** Of an object that the other end may hold a mirror of. */
  | { kind: 'left'; key: string }
  | { kind: 'outdated'; path: string }

type Listener = Parameters<ObjectSource['open']>[1]

/** As much of a MessagePort as is used. */
export interface LinkPort {
  postMessage(message: LinkMessage): void
  on(event: 'message', listener: (message: LinkMessage) => void): unknown
  once(event: 'close', listener: () => void): unknown
  close(): void
}

export interface ThreadLinkOptions {
  port: LinkPort
  cache: Pick<FillCache, 'follow' | 'forgetMirror' | 'outdateMirrors' | 'adoptMirrors'>
  /** Memory of another thread is used here from now on. */
  onMemory?: (bytes: number) => void
  /** The other end is no more; called before anybody who waits for it is told. */
  onLost: () => void
}

export class ThreadLink implements ObjectSource, Disposable {
  readonly #options: ThreadLinkOptions
  readonly #asked = new Map<number, Listener>()
  readonly #told = new Map<number, { leave(): void }>()
  /** Objects of ours that the other end was told of to the end. */
  readonly #mirrored = new WeakSet<CacheObject>()
  #lastId = 0
  #isLost = false

  constructor(options: ThreadLinkOptions) {
    this.#options = options
    options.port.on('message', (message: LinkMessage) => this.#on(message))
    options.port.once('close', () => this.lose())
  }

  open(target: ObjectTarget, listener: Listener): { leave(): void } {
    const id = ++this.#lastId
    this.#asked.set(id, listener)
    this.#post({ kind: 'open', id, target })
    return {
      leave: () => {
        if (this.#asked.delete(id)) this.#post({ kind: 'leave', id })
      },
    }
  }

  left(object: CacheObject): void {
    if (this.#mirrored.delete(object)) this.#post({ kind: 'left', key: object.target.key })
  }

  outdated(path: string): void {
    this.#post({ kind: 'outdated', path })
  }

  /** The other end is gone, or shall be taken as such. */
  lose(): void {
    if (this.#isLost) return
    this.#isLost = true
    this.#options.port.close()
    for (const feed of this.#told.values()) feed.leave()
    this.#told.clear()
    this.#options.onLost()
    this.#options.cache.adoptMirrors(this)
    const waiting = [...this.#asked.values()]
    this.#asked.clear()
    for (const listener of waiting) listener.lost()
  }

  [Symbol.dispose](): void {
    this.lose()
  }

  #on(message: LinkMessage): void {
    const { cache, onMemory } = this.#options
    switch (message.kind) {
      case 'open':
        this.#serve(message.id, message.target)
        return
      case 'leave':
        this.#told.get(message.id)?.leave()
        this.#told.delete(message.id)
        return
      case 'news': {
        const { id, news } = message
        const listener = this.#asked.get(id)
        if (news.state !== 'growing') this.#asked.delete(id)
        if (news.memory && listener) onMemory?.(news.memory.byteLength)
        listener?.tell(news)
        return
      }
      case 'left':
        cache.forgetMirror(message.key)
        return
      case 'outdated':
        cache.outdateMirrors(message.path)
    }
  }

  #serve(id: number, target: ObjectTarget): void {
    let isOver = false
    const feed = this.#options.cache.follow(target, (news, object) => {
      if (news.kept) this.#mirrored.add(object)
      isOver = news.state !== 'growing'
      if (isOver) this.#told.delete(id)
      this.#post({ kind: 'news', id, news })
    })
    if (!isOver) this.#told.set(id, feed)
  }

  #post(message: LinkMessage): void {
    if (!this.#isLost) this.#options.port.postMessage(message)
  }
}
