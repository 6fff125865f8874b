// Takes that another packager has left open: they wait to be started again, under their names. Those that nobody
// starts end with what is listed of them.

import type { OpenTake } from '../../common/contract/resume-point.ts'
import type { LiveSettings } from '../../common/live/live-broadcast.ts'
import type { PublishedTakes } from './published-takes.ts'
import { type TakePlan, TakeState, type Track } from './take-state.ts'

export class LeftTakes {
  readonly #published: PublishedTakes
  /** By name; what one has turned into by itself goes with it. */
  readonly #waiting = new Map<string, TakeState>()

  constructor(published: PublishedTakes) {
    this.#published = published
  }

  /** In the order of their beginning. */
  restore(openTakes: readonly OpenTake[], settings: LiveSettings | undefined): TakeState[] {
    const { begun, byName, kinds } = this.#published
    return openTakes.map((open) => {
      const take = TakeState.restore(open)
      byName.set(take.plan.name, take)
      const made = byName.get(open.successorOf ?? '')
      if (made) made.successor = take
      else this.#waiting.set(take.plan.name, take)
      const before = byName.get(open.continuationOf ?? '')
      if (before) before.continuedBy = take
      take.continuationOf = before
      for (const { rendition } of take.tracks.values()) {
        if (rendition && !kinds.has(rendition.name)) kinds.set(rendition.name, rendition.kind)
      }
      if (open.timeline && settings) {
        take.begin(settings, open.timeline, open.timeline)
        begun.push(take)
      }
      return take
    })
  }

  /** Answers whether it was left open: then it goes on. */
  goOn({ name, epoch }: TakePlan): boolean {
    const left = this.#waiting.get(name)
    this.#waiting.delete(name)
    for (let it = left; it; it = it.successor) it.setEpoch(epoch)
    return left !== undefined
  }

  /** Nobody goes on with the rest. */
  abandon(epoch?: number): void {
    for (const left of this.#waiting.values()) {
      for (let it: TakeState | undefined = left; it; it = it.successor) {
        if (epoch !== undefined) it.setEpoch(epoch)
        it.isClosing = true
        if (it.timeline && !isListed(it)) this.#forget(it)
        else endListed(it)
      }
    }
    this.#waiting.clear()
  }

  #forget(take: TakeState): void {
    const { begun } = this.#published
    const { firstNumber, startSeconds } = take.timeline!
    begun.splice(begun.indexOf(take), 1)
    this.#published.first = { number: firstNumber, seconds: startSeconds }
    this.#published.takeCount--
    take.isDiscarded = true
  }
}

/** The media ends with what is listed. Answers where, unless it had ended before. */
export function endListed({ timeline, tracks }: TakeState): number | undefined {
  if (!timeline || timeline.mediaEndSeconds !== undefined) return undefined
  let seconds = timeline.startSeconds
  let number = timeline.firstNumber
  for (const track of tracks.values()) {
    const endTicks = track.cutter?.listedEndTicks ?? track.resume?.endTicks ?? 0
    seconds = Math.max(seconds, endTicks / (track.rendition?.timescale ?? 1))
    number = Math.max(number, listedNumber(track))
  }
  timeline.endListed(seconds, number)
  return timeline.mediaEndSeconds
}

/** Of the newest segment of which something is listed, here or by the packager before. */
function listedNumber({ cutter, resume }: Track): number {
  return cutter?.listedNumber ?? (resume ? resume.number - (resume.segment ? 0 : 1) : 0)
}

function isListed({ timeline, tracks }: TakeState): boolean {
  return [...tracks.values()].some((it) => listedNumber(it) >= timeline!.firstNumber)
}
