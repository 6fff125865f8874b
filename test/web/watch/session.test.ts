// The watch page's session: when a player starts, starts again, and what the stage says meanwhile.
import { describe, expect, test } from 'vitest'
import type { ChannelStatus } from '../../../common/contract/channel.ts'
import {
  advance,
  newMediaMs,
  newSession,
  type Session,
  type SessionEvent,
  sceneOf,
  stillPatienceMs,
} from '../../../web/watch/session.ts'

const broadcastId = '7d0a6d3c-3b0e-4d7e-8f0e-3c8f2b8f8a01'

function status(change: Partial<ChannelStatus> = {}): ChannelStatus {
  return {
    liveId: 'demo',
    title: 'Demo',
    description: '',
    topic: null,
    state: 'live',
    broadcastId,
    startedAt: '2026-01-01T00:00:00Z',
    takes: 1,
    viewers: 1,
    replayId: null,
    ...change,
  }
}

type Heard = SessionEvent extends infer E
  ? E extends { at: number }
    ? Omit<E, 'at'>
    : never
  : never

/** A page that hears things while its own time passes in ticks. */
class Page {
  session: Session = newSession
  at = 1_000

  hear(event: Heard): this {
    this.session = advance(this.session, { ...event, at: this.at } as SessionEvent)
    return this
  }

  told(change: Partial<ChannelStatus> = {}): this {
    return this.hear({ type: 'status', answer: { kind: 'status', status: status(change) } })
  }

  /** Lets time pass with a picture that moves, or stands still. */
  pass(ms: number, picture: 'moving' | 'still'): this {
    for (const end = this.at + ms; this.at < end; ) {
      this.at += 250
      if (picture === 'moving') this.hear({ type: 'progress' })
      this.hear({ type: 'tick' })
    }
    return this
  }

  get generation(): number {
    return this.session.player?.generation ?? 0
  }

  get scene() {
    return sceneOf(this.session, this.at)
  }
}

const playing = () => new Page().told().pass(2_000, 'moving')

describe('a watch page', () => {
  test('starts a player once the channel is live', () => {
    const page = new Page()
    expect(page.scene).toBe('asking')
    page.told({ state: 'offline' })
    expect([page.scene, page.generation]).toEqual(['offline', 0])
    page.told()
    expect([page.scene, page.generation]).toEqual(['starting', 1])
    page.pass(500, 'moving').told()
    expect([page.scene, page.generation]).toEqual(['playing', 1])
  })

  test('leaves a player alone that copes with a new take', () => {
    const page = playing().told({ takes: 2 }).pass(60_000, 'moving').told({ takes: 3 })
    expect([page.scene, page.generation]).toEqual(['playing', 1])
  })

  test('starts a new player when a new take is there and the picture stands still', () => {
    const page = playing()
      .told({ takes: 2 })
      .pass(newMediaMs.still - 250, 'still')
    expect([page.scene, page.generation]).toEqual(['catching-up', 1])
    page.told({ takes: 2 }).pass(500, 'still')
    expect([page.scene, page.generation]).toEqual(['starting', 2])
    expect(page.session.player?.takes).toBe(2)
  })

  test('gives a player that has long stood still the time to find the new take by itself', () => {
    const page = playing().told({ state: 'held' }).pass(30_000, 'still').told({ takes: 2 })
    page.pass(newMediaMs.still - 1_000, 'still')
    expect(page.generation).toBe(1)
    page.pass(30_000, 'moving')
    expect(page.generation).toBe(1)
  })

  test('starts a new player soon when the old one gave up and a new take is there', () => {
    const page = playing()
    page.session = { ...page.session, attempts: 5 }
    page.told({ takes: 2 }).hear({ type: 'fatal' })
    page.pass(newMediaMs.stopped - 250, 'still')
    expect(page.generation).toBe(1)
    page.pass(250, 'still')
    expect(page.generation).toBe(2)
  })

  test('starts a new player for a new broadcast that has the same number of takes', () => {
    const other = '00000000-0000-4000-8000-000000000000'
    const page = playing().told({ broadcastId: other }).pass(newMediaMs.still, 'still')
    expect(page.generation).toBe(2)
  })

  test('tries less and less often a player that cannot start', () => {
    const page = new Page().told()
    const starts: number[] = []
    for (let seconds = 0; seconds < 60; seconds++) {
      const before = page.generation
      page.hear({ type: 'fatal' }).pass(1_000, 'still')
      if (page.generation > before) starts.push(seconds)
    }
    const gaps = starts.slice(1).map((second, i) => second - starts[i]!)
    expect(gaps).toEqual([2, 4, 8, 10, 10, 10, 10])
  })

  test('tries soon again after a player that had played for a while', () => {
    const page = new Page().told()
    for (let i = 0; i < 5; i++) page.hear({ type: 'fatal' }).pass(12_000, 'still')
    expect(page.session.attempts).toBeGreaterThan(3)
    page.pass(15_000, 'moving').hear({ type: 'fatal' })
    const { generation } = page
    page.pass(1_000, 'still')
    expect(page.generation).toBe(generation + 1)
  })

  test('helps a player that stands still for no known reason', () => {
    const page = playing().pass(stillPatienceMs, 'still')
    expect(page.generation).toBe(2)
  })

  test('does not take a pause for a stand-still', () => {
    const page = playing().hear({ type: 'paused', paused: true }).pass(600_000, 'still')
    expect([page.scene, page.generation]).toEqual(['playing', 1])
    page.told({ takes: 2 }).hear({ type: 'paused', paused: false }).pass(1_000, 'still')
    expect(page.generation).toBe(1)
  })

  test('plays out what it has while the publisher is away, then waits, then goes on', () => {
    const page = playing().told({ state: 'held' }).pass(3_000, 'moving')
    expect(page.scene).toBe('playing')
    page.pass(2_000, 'still')
    expect([page.scene, page.generation]).toEqual(['waiting', 1])
    page.pass(18_000, 'still')
    expect(page.generation).toBe(1)
    page.told({ takes: 2 }).pass(newMediaMs.still, 'still')
    expect(page.generation).toBe(2)
    page.pass(1_000, 'moving')
    expect(page.scene).toBe('playing')
  })

  test('waits without a player when it is opened while the publisher is away', () => {
    const page = new Page().told({ state: 'held' })
    expect([page.scene, page.generation]).toEqual(['waiting', 0])
    page.told()
    expect(page.generation).toBe(1)
  })

  test('plays the end of a show to its end, then says so', () => {
    const page = playing().told({ state: 'offline', replayId: broadcastId }).pass(4_000, 'moving')
    expect([page.scene, page.generation]).toEqual(['playing', 1])
    page.hear({ type: 'ended' }).pass(2_000, 'still')
    expect([page.scene, page.session.player]).toEqual(['ended', null])
    page.told({ takes: 1, broadcastId: '00000000-0000-4000-8000-000000000000' })
    expect([page.scene, page.generation]).toEqual(['starting', 2])
  })

  test('ends a show also when the media just stops', () => {
    const page = playing().told({ state: 'offline' }).pass(6_000, 'still')
    expect([page.scene, page.session.player]).toEqual(['ended', null])
  })

  test('says that a channel is unknown, and plays it should it appear', () => {
    const page = new Page().hear({ type: 'status', answer: { kind: 'unknown' } })
    expect(page.scene).toBe('no-such-channel')
    page.told()
    expect(page.generation).toBe(1)
  })

  test('keeps a moving picture when the status cannot be had', () => {
    const page = playing()
    for (let i = 0; i < 10; i++) {
      page.hear({ type: 'status', answer: { kind: 'failed' } }).pass(2_000, 'moving')
    }
    expect([page.scene, page.generation]).toEqual(['playing', 1])
  })

  test('says that the server does not answer, after a few tries', () => {
    const page = new Page()
    const scenes = [1, 2, 3].map(
      () => page.hear({ type: 'status', answer: { kind: 'failed' } }).scene,
    )
    expect(scenes).toEqual(['asking', 'asking', 'unreachable'])
    page.told({ state: 'offline' })
    expect(page.scene).toBe('offline')
  })

  test('hears nothing from a player that is gone', () => {
    const page = new Page().told({ state: 'offline' })
    page.hear({ type: 'fatal' }).hear({ type: 'progress' }).hear({ type: 'ended' })
    expect(page.session.player).toBeNull()
  })
})
