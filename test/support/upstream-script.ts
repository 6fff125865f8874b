// What a live rendition asks upstream, answered when a test says so.
import { readHead } from '../../common/cache/answer-head.ts'
import { type ObjectTarget, targetOf } from '../../common/cache/cache-key.ts'
import { CacheObject } from '../../common/cache/cache-object.ts'
import { policyOf } from '../../common/cache/freshness.ts'
import type { LiveIo } from '../../common/cache/live/live-rendition.ts'
import { classify } from '../../common/cache/media-path.ts'
import type { FakeClock } from './fake-clock.ts'

export interface UpstreamQuestion {
  target: ObjectTarget
  /** Ends it with an answer. */
  answer(status: number, body: string, headers?: Record<string, string>): void
  /** Ends it without one. */
  cut(): void
}

export const playlistPath = '/live/demo/720p.m3u8'

export function targetAt(query = '', path = playlistPath): ObjectTarget {
  return targetOf(classify(path)!, path, query) as ObjectTarget
}

export class UpstreamScript implements LiveIo {
  readonly crowd = { readers: 0 }
  /** Keys of all that was asked. */
  readonly asked: string[] = []
  /** Not answered nor given up. */
  readonly open: UpstreamQuestion[] = []
  readonly prefetched: string[] = []
  readonly kept: CacheObject[] = []
  /** Refuses what is asked. */
  isFull = false
  readonly #clock: FakeClock

  constructor(clock: FakeClock) {
    this.#clock = clock
  }

  get waits(): UpstreamQuestion[] {
    return this.open.filter(({ target }) => target.blocking)
  }

  get refreshes(): UpstreamQuestion[] {
    return this.open.filter(({ target }) => !target.blocking)
  }

  ask(target: ObjectTarget, ended: (object: CacheObject) => void): { abandon(): void } | undefined {
    if (this.isFull) return undefined
    this.asked.push(target.key)
    const object = new CacheObject(target, policyOf(target.media))
    const end = (finish: () => void) => {
      if (!this.open.includes(question)) return
      this.open.splice(this.open.indexOf(question), 1)
      finish()
      ended(object)
    }
    const question: UpstreamQuestion = {
      target,
      answer: (status, body, headers = {}) =>
        end(() => {
          const bytes = Buffer.from(body)
          const given = { 'content-length': String(bytes.length), ...headers }
          object.begin(readHead(target, object.policy, status, given), this.#clock.monotonic())
          object.append(bytes)
          object.complete()
        }),
      cut: () => end(() => object.break()),
    }
    this.open.push(question)
    return { abandon: () => question.cut() }
  }

  prefetch({ path }: ObjectTarget): undefined {
    this.prefetched.push(path)
  }

  keep(object: CacheObject): void {
    this.kept.push(object)
  }
}
