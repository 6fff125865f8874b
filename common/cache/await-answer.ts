// Waits until an object can be answered with: its head is here, a stale one stands in, or it is broken.
import type { Clock } from '../clock.ts'
import type { AnswerHead } from './answer-head.ts'
import type { CacheMetrics } from './cache-metrics.ts'
import type { CacheObject } from './cache-object.ts'
import type { Opened } from './fill-cache.ts'

export interface AnswerListener {
  /** Those who wait are counted, and how long. */
  metrics: Pick<CacheMetrics, 'waits'>
  clock: Clock
  /** The whole body is wanted first. */
  wantsWhole(object: CacheObject, head: AnswerHead): boolean
  answer(opened: Opened, head: AnswerHead, failedStatus: number | undefined): void
  broken(): void
}

/** One of the two is called once, now or later; answers how to stop waiting where it is later. */
export function awaitAnswer(opened: Opened, listener: AnswerListener): (() => void) | undefined {
  const { object } = opened
  const proceed = (): boolean => {
    if (object.substitute) {
      const { object: stale, failedStatus } = object.substitute
      listener.answer({ object: stale, outcome: 'stale' }, stale.head!, failedStatus)
    } else if (object.head) {
      if (object.state === 'growing' && listener.wantsWhole(object, object.head)) return false
      listener.answer(opened, object.head, undefined)
    } else if (object.state === 'broken') listener.broken()
    else return false
    return true
  }
  // The fill may have ended within the call that began it.
  if (proceed()) return undefined
  const since = listener.clock.monotonic()
  const over = listener.metrics.waits(object.target)
  const leave = object.follow(() => {
    try {
      if (!proceed()) return
    } catch (err) {
      // What cannot be answered is broken off: nobody would wake it again.
      over(false, 0)
      leave()
      listener.broken()
      throw err
    }
    const isAnswered = object.substitute !== undefined || object.head !== undefined
    over(isAnswered, (listener.clock.monotonic() - since) / 1_000)
    // Followed as a reader before it is left: who changes places is not one that has left.
    leave()
  })
  return () => {
    over(false, 0)
    leave()
  }
}
