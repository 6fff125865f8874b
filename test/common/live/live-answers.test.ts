// What a live broadcast answers to players whose clock, or picture of it, is not ours.
import { describe, expect, test } from 'vitest'
import { LiveAnswers } from '../../../common/live/live-answers.ts'
import { type Answer, segmentUnknown } from '../../../common/live/playback-answer.ts'
import { timelineZeroMs } from '../../../common/live/segment-log.ts'
import { FakeClock, settle } from '../../support/fake-clock.ts'
import { ScriptedBroadcast } from '../../support/scripted-broadcast.ts'

const held = 'held'

class Rig {
  readonly broadcast = new ScriptedBroadcast()
  readonly clock = new FakeClock()
  readonly #answers = new LiveAnswers(this.clock)

  constructor() {
    this.broadcast.beginTake()
    this.broadcast.addSegments(3)
  }

  /** Asks for a segment of the first take, and tells what is known of the answer now. */
  ask(number: number): () => Promise<Answer | typeof held | undefined> {
    let found: Answer | typeof held | undefined = held
    const live = { broadcast: this.broadcast, file: () => undefined }
    const { name } = this.broadcast.takes[0]!
    const from = { kind: 'live', liveId: 'demo' } as const
    const path = { kind: 'segment', from, take: name, rendition: '720p', number } as const
    const answer = this.#answers.find(live, path, {}, new AbortController().signal)
    void answer.then((it) => {
      found = it
    })
    return async () => {
      await settle()
      return found
    }
  }

  /** Turns the clock to where that much of the broadcast's timeline has gone by. */
  async turnTo(seconds: number): Promise<void> {
    await this.clock.advance(
      timelineZeroMs(this.broadcast.facts) + seconds * 1000 - this.clock.now(),
    )
  }
}

describe('a segment that is late', () => {
  test('is waited for as far ahead as the clock has come, and no further', async () => {
    const rig = new Rig()
    const { startSeconds } = rig.broadcast.takes[0]!
    await rig.turnTo(startSeconds + 5 * 2 - 0.1)
    expect(await rig.ask(6)()).toEqual(segmentUnknown)
    await rig.turnTo(startSeconds + 5 * 2)
    const answer = rig.ask(6)
    expect(await answer()).toBe(held)
    expect(await rig.ask(7)()).toEqual(segmentUnknown)
    rig.broadcast.addSegments(3)
    expect(await answer()).toMatchObject({ status: 200 })
  })
})

describe('a segment behind the end of a take', () => {
  test('is held until each rendition of the next take has a whole one', async () => {
    const rig = new Rig()
    const { broadcast } = rig
    broadcast.endTake()
    const answer = rig.ask(4)
    expect(await answer()).toBe(held)
    broadcast.beginTake()
    broadcast.addParts(4)
    broadcast.closeSegment('720p')
    expect(await answer()).toBe(held)
    broadcast.closeSegment('audio')
    broadcast.closeSegment('360p')
    expect(await answer()).toEqual(segmentUnknown)
  })
})
