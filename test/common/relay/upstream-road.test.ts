// One publisher's way up over next hops that are played by the test, by a clock that the test turns.
import { describe, expect, test } from 'vitest'
import type { Progress } from '../../../common/contract/progress.ts'
import {
  type RefusalCode,
  refusal,
  statusCodeOf,
  statusDescription,
} from '../../../common/contract/refusal.ts'
import { silentLogger } from '../../../common/log.ts'
import { Metrics } from '../../../common/metrics.ts'
import { ArrivalTimes } from '../../../common/relay/arrival-times.ts'
import { CatchUpTurns } from '../../../common/relay/catch-up-turns.ts'
import { MediaMemory, relayMemoryLimits } from '../../../common/relay/media-memory.ts'
import { RelayMetrics } from '../../../common/relay/relay-metrics.ts'
import type { UpstreamStatus } from '../../../common/relay/upstream-publisher.ts'
import {
  type Attempt,
  type RoadOutcome,
  type Upstream,
  UpstreamRoad,
} from '../../../common/relay/upstream-road.ts'
import type { MediaMessage } from '../../../media/rtmp/message.ts'
import { FakeClock, settle } from '../../support/fake-clock.ts'
import { broadcast, rtmpMedia } from '../../support/rtmp-media.ts'

/** A next hop that takes what it is given, at the pace that the test wants. */
class ScriptedHop implements Upstream {
  readonly received: MediaMessage[] = []
  readonly #closed = Promise.withResolvers<string>()
  onDrain = () => {}
  onStatus: (status: UpstreamStatus) => void = () => {}
  ended: 'unpublished' | 'destroyed' | 'abandoned' | undefined
  /** How many messages it takes before it is full. */
  room = Number.POSITIVE_INFINITY
  listener: ((progress: Progress) => void) | undefined

  get closed() {
    return this.#closed.promise
  }

  send(message: MediaMessage): boolean {
    expect(this.ended).toBeUndefined()
    this.received.push(message)
    this.room--
    return this.room > 0
  }

  drain(room: number): void {
    this.room = room
    this.onDrain()
  }

  close(): void {
    this.#closed.resolve('closed by the test')
  }

  tell(code: RefusalCode): void {
    const description = statusDescription(refusal(code))
    this.onStatus({ level: 'error', code: statusCodeOf(code), description })
  }

  progress(takenMs: number, neededMs = 0): void {
    this.listener?.({ takenMs, neededMs, epoch: 1, liveId: 'live' })
  }

  unpublish(): void {
    this.ended = 'unpublished'
  }

  destroy(): void {
    this.ended = 'destroyed'
  }

  abandon(): void {
    this.ended = 'abandoned'
  }
}

interface Rig {
  clock: FakeClock
  road: UpstreamRoad
  memory: MediaMemory
  attempts: Attempt[]
  hops: ScriptedHop[]
  refused: string[]
  lost: () => number
  /** What the tries after the first answer, in order; a hop that is there once the list is empty. */
  answers: (RoadOutcome | 'never')[]
  turns: CatchUpTurns
  metrics: Metrics
}

function rig({
  clock = new FakeClock(),
  turns = new CatchUpTurns(2),
  room = Number.POSITIVE_INFINITY,
  arrivals = new ArrivalTimes(),
} = {}): Rig {
  let lost = 0
  const metrics = new Metrics('edge', 'pop-1', '0')
  const memory = new MediaMemory({
    limits: relayMemoryLimits,
    onLost: (frames) => {
      lost += frames
    },
    onBytes: () => {},
  })
  const one: Omit<Rig, 'road'> = {
    clock,
    memory,
    attempts: [],
    hops: [],
    refused: [],
    lost: () => lost,
    answers: [],
    turns,
    metrics,
  }
  const road = new UpstreamRoad({
    open: async (attempt) => {
      one.attempts.push(attempt)
      const answer = one.attempts.length > 1 ? one.answers.shift() : undefined
      if (answer === 'never') return new Promise(() => {})
      if (answer) return answer
      const hop = new ScriptedHop()
      if (one.attempts.length > 1) hop.room = room
      one.hops.push(hop)
      const watch = (listener: (progress: Progress) => void) => {
        hop.listener = listener
        return {
          [Symbol.dispose]: () => {
            hop.listener = undefined
          },
        }
      }
      return { started: hop, watch }
    },
    memory,
    onKept: () => {},
    arrivals,
    turns,
    metrics: new RelayMetrics(metrics, () => memory.bytes),
    clock,
    log: () => silentLogger,
    random: () => 0.5,
    onRefused: ({ code }) => one.refused.push(code),
  })
  return { ...one, road }
}

const messages = broadcast(4)
const fromSecond = (from: MediaMessage[], ms: number) =>
  from.slice(3).filter(({ timestampMs }) => timestampMs >= ms)
const media = (received: MediaMessage[]) => received.filter(({ payload }) => payload[1] === 1)

describe('a way up', () => {
  test('passes everything to its next hop at once', async () => {
    const { road, hops } = rig()
    expect(await road.open()).toBeUndefined()
    for (const message of messages) road.push(message)
    expect(hops[0]?.received).toEqual(messages)
    road.destroy()
    expect(hops[0]?.ended).toBe('destroyed')
  })

  test('replays what was needed when its next hop closes, and goes on live', async () => {
    const { road, hops, clock, attempts, refused, lost } = rig()
    await road.open()
    for (const message of messages.slice(0, -4)) road.push(message)
    hops[0]!.progress(5_000, 4_000)
    hops[0]!.close()
    await settle()
    for (const message of messages.slice(-4)) road.push(message)
    await clock.advance(0)
    expect(attempts).toEqual([
      { number: 1, ageMs: 0 },
      { number: 2, ageMs: 0, lost: 'closed' },
    ])
    expect(hops[0]!.ended).toBe('abandoned')
    expect(hops[1]!.received.slice(0, 3).map(({ payload }) => payload)).toEqual(
      messages.slice(0, 3).map(({ payload }) => payload),
    )
    expect(hops[1]!.received.slice(3)).toEqual(fromSecond(messages, 4_000))
    const next = rtmpMedia.keyframe(8_000)
    road.push(next)
    expect(hops[1]!.received.at(-1)).toEqual(next)
    expect(refused).toEqual([])
    expect(lost()).toBe(0)
    road.destroy()
  })

  test('moves to another next hop when it is told to, and stays where none takes it', async () => {
    const { road, hops, attempts, answers, clock } = rig()
    await road.open()
    for (const message of broadcast(3)) road.push(message)
    answers.push({ refused: refusal('no-transcoder') })
    road.move()
    await settle()
    expect(attempts).toHaveLength(2)
    expect(hops).toHaveLength(1)
    expect(hops[0]!.ended).toBeUndefined()
    road.move()
    road.move()
    await settle()
    expect(attempts.map(({ lost }) => lost)).toEqual([undefined, undefined, undefined])
    expect(hops.map(({ ended }) => ended)).toEqual(['abandoned', undefined])
    const more = broadcast(4).slice(-1)[0]!
    road.push(more)
    expect(hops[1]!.received.at(-1)).toBe(more)
    expect(hops[0]!.received).not.toContain(more)
    road.destroy()
    expect(clock.pending).toBe(0)
  })

  test('does not move what has been lost meanwhile twice', async () => {
    const { road, hops, answers, attempts, clock } = rig()
    await road.open()
    for (const message of broadcast(3)) road.push(message)
    answers.push('never')
    road.move()
    await settle()
    hops[0]!.close()
    await clock.advance(0)
    expect(attempts.at(-1)!.lost).toBe('closed')
    expect(hops).toHaveLength(2)
    expect(hops[1]!.ended).toBeUndefined()
    road.destroy()
  })

  test('leaves a next hop that takes nothing for four seconds of what it was sent', async () => {
    const { road, hops, clock, attempts } = rig()
    await road.open()
    for (const message of messages) road.push(message)
    await clock.advance(2_000)
    hops[0]!.progress(1_000, 0)
    await clock.advance(3_900)
    expect(attempts).toHaveLength(1)
    await clock.advance(100)
    expect(attempts[1]).toMatchObject({ lost: 'silent', ageMs: 6_000 })
    expect(hops[0]!.ended).toBe('abandoned')
    road.destroy()
  })

  test('knows how old a replay is, whatever time data in it has', async () => {
    const clock = new FakeClock()
    await clock.advance(60_000)
    const arrivals = new ArrivalTimes()
    arrivals.startedAt(clock.monotonic() - 15_000, clock.monotonic())
    const { road, hops, attempts } = rig({ clock, arrivals })
    await road.open()
    const show = broadcast(4, 2_000, 3_600_000)
    const third = show.findIndex(({ timestampMs }) => timestampMs === 3_604_000)
    for (const message of show.toSpliced(third, 0, rtmpMedia.metadata(0))) road.push(message)
    hops[0]!.progress(3_607_500, 3_604_000)
    hops[0]!.close()
    await clock.advance(1_000)
    expect(attempts[1]!.ageMs).toBeGreaterThanOrEqual(11_000)
    road.destroy()
  })

  test('does not wait for headers to be taken', async () => {
    const { road, hops, clock, attempts } = rig()
    await road.open()
    for (const message of messages.slice(0, 3)) road.push(message)
    await clock.advance(30_000)
    expect(attempts).toHaveLength(1)
    for (const message of messages.slice(3)) road.push(message)
    await clock.advance(4_000)
    expect(hops).toHaveLength(2)
    road.destroy()
  })

  test('does not blame a next hop that has taken everything', async () => {
    const { road, hops, clock, attempts } = rig()
    await road.open()
    for (const message of messages) road.push(message)
    hops[0]!.progress(messages.at(-1)!.timestampMs, 4_000)
    await clock.advance(60_000)
    expect(attempts).toHaveLength(1)
    road.destroy()
  })

  test('ends with a refusal that holds for the publisher', async () => {
    const { road, hops, refused, attempts, clock } = rig()
    await road.open()
    hops[0]!.tell('codec-unsupported')
    await clock.advance(10_000)
    expect(refused).toEqual(['codec-unsupported'])
    expect(attempts).toHaveLength(1)
    expect(hops[0]!.ended).toBe('destroyed')
  })

  test('asks again after a refusal that may pass, ever more slowly', async () => {
    const { road, hops, refused, attempts, answers, clock } = rig()
    await road.open()
    answers.push(
      { refused: refusal('no-transcoder') },
      { failed: 'nobody there' },
      { refused: refusal('coordinator-away') },
    )
    hops[0]!.tell('maintenance')
    await clock.advance(0)
    expect(attempts).toHaveLength(2)
    expect(attempts[1]!.lost).toBe('refused')
    await clock.advance(100)
    expect(attempts).toHaveLength(3)
    expect(attempts[2]!.lost).toBeUndefined()
    await clock.advance(200)
    expect(attempts).toHaveLength(4)
    await clock.advance(500)
    expect(attempts.map(({ number }) => number)).toEqual([1, 2, 3, 4, 5])
    expect(hops).toHaveLength(2)
    expect(refused).toEqual([])
    road.destroy()
  })

  test('ends when a try is refused for good', async () => {
    const { road, hops, refused, answers, clock } = rig()
    await road.open()
    answers.push({ refused: refusal('already-publishing') })
    hops[0]!.close()
    await clock.advance(5_000)
    expect(refused).toEqual(['already-publishing'])
  })

  test('gives up after a minute without a next hop', async () => {
    const { road, hops, refused, answers, clock } = rig()
    await road.open()
    for (let tries = 0; tries < 100; tries++) answers.push({ failed: 'nobody there' })
    hops[0]!.close()
    await clock.advance(59_900)
    expect(refused).toEqual([])
    await clock.advance(200)
    expect(refused).toEqual(['path-lost'])
  })

  test('does not take a next hop that closes at once for an arrival', async () => {
    const { road, hops, refused, attempts, clock } = rig()
    await road.open()
    for (let second = 0; second < 62 && refused.length === 0; second++) {
      hops.at(-1)!.close()
      await clock.advance(1_000)
    }
    expect(refused).toEqual(['path-lost'])
    expect(attempts.length).toBeLessThan(64)
  })

  test('replays no faster than a slow next hop takes it, and keeps taking from the publisher', async () => {
    const { road, hops, clock, metrics } = rig({ room: 2 })
    await road.open()
    for (const message of messages) road.push(message)
    hops[0]!.close()
    await clock.advance(0)
    expect(hops[1]!.received).toHaveLength(2)
    const more = broadcast(2, 2_000, 8_000).slice(3)
    for (const message of more) expect(road.push(message)).toBe(true)
    expect(hops[1]!.received).toHaveLength(2)
    expect(await metrics.registry.metrics()).toContain('nearcast_relay_catching_up 1')
    hops[1]!.drain(5)
    expect(hops[1]!.received).toHaveLength(7)
    hops[1]!.drain(Number.POSITIVE_INFINITY)
    expect(media(hops[1]!.received)).toEqual([...messages.slice(3), ...more])
    expect(await metrics.registry.metrics()).toContain('nearcast_relay_catching_up 0')
    expect(await metrics.registry.metrics()).toContain('nearcast_relay_moves_total{why="closed"} 1')
    road.destroy()
  })

  test('begins anew when the next hop is lost in the middle of a replay', async () => {
    const { road, hops, clock, attempts, lost } = rig({ room: 6 })
    await road.open()
    for (const message of messages) road.push(message)
    hops[0]!.progress(7_000, 2_000)
    hops[0]!.close()
    await clock.advance(0)
    hops[1]!.close()
    await clock.advance(100)
    expect(attempts.map(({ number }) => number)).toEqual([1, 2, 3])
    hops[2]!.drain(Number.POSITIVE_INFINITY)
    expect(media(hops[2]!.received)).toEqual(fromSecond(messages, 2_000))
    expect(lost()).toBe(0)
    road.destroy()
  })

  test('finishes the replay of a publisher that has left, then unpublishes', async () => {
    const { road, hops, clock } = rig({ room: 2 })
    await road.open()
    for (const message of messages) road.push(message)
    hops[0]!.close()
    await clock.advance(0)
    const finished = road.finish()
    expect(hops[1]!.ended).toBeUndefined()
    hops[1]!.drain(Number.POSITIVE_INFINITY)
    await finished
    expect(hops[1]!.ended).toBe('unpublished')
    expect(media(hops[1]!.received)).toEqual(messages.slice(3))
  })

  test('does not wait for ever with what a publisher has left behind', async () => {
    const { road, hops, clock, memory } = rig({ room: 2 })
    await road.open()
    for (const message of messages) road.push(message)
    hops[0]!.close()
    await clock.advance(0)
    const finished = road.finish()
    await clock.advance(2_000)
    hops[1]!.progress(1)
    await clock.advance(3_000)
    await finished
    expect(hops[1]!.ended).toBe('unpublished')
    expect(memory.bytes).toBe(0)
  })

  test.each(['before', 'after'])(
    'looks for no other next hop in a hurry: lost %s',
    async (when) => {
      const { road, hops, clock, memory, answers } = rig({ room: 2 })
      await road.open()
      for (const message of messages) road.push(message)
      answers.push({ failed: 'nobody there' })
      if (when === 'before') hops[0]!.close()
      await settle()
      const finished = road.finish(true)
      if (when === 'after') hops[0]!.close()
      await finished
      expect(clock.monotonic()).toBe(0)
      expect(clock.pending).toBe(0)
      expect(memory.bytes).toBe(0)
    },
  )

  test('leaves no timer, turn, listener or media behind, wherever it ends', async () => {
    for (const endsAfter of [0, 1, 2, 3, 4]) {
      const { road, hops, clock, memory, turns, answers } = rig({ room: 3 })
      await road.open()
      for (const message of messages) road.push(message)
      hops[0]!.progress(1_000)
      answers.push({ failed: 'nobody there' })
      if (endsAfter > 0) hops[0]!.close()
      if (endsAfter > 1) await clock.advance(50)
      if (endsAfter > 2) await clock.advance(50)
      if (endsAfter > 3) void road.finish()
      road.destroy()
      await settle()
      expect(clock.pending).toBe(0)
      expect(memory.bytes).toBe(0)
      expect(turns.isCrowded).toBe(false)
      for (const hop of hops)
        expect([hop.listener, typeof hop.ended]).toEqual([undefined, 'string'])
    }
  })

  test('unpublishes a next hop that answers after the end', async () => {
    const { road, hops } = rig()
    const opening = road.open()
    await road.finish()
    await opening
    expect(hops[0]!.ended).toBe('unpublished')
  })

  test('lets two replay at a time, and spreads the others', async () => {
    const clock = new FakeClock()
    const turns = new CatchUpTurns(2)
    const rigs = [1, 2, 3, 4].map(() => rig({ clock, turns, room: 1 }))
    for (const { road } of rigs) {
      await road.open()
      for (const message of messages) road.push(message)
    }
    for (const { hops } of rigs) hops[0]!.close()
    await clock.advance(0)
    const replaying = () => rigs.filter(({ hops }) => hops.length === 2).length
    expect(replaying()).toBe(2)
    await clock.advance(600)
    expect(replaying()).toBe(2)
    rigs.find(({ hops }) => hops.length === 2)!.hops[1]!.drain(Number.POSITIVE_INFINITY)
    await settle()
    expect(replaying()).toBe(3)
    for (const { road } of rigs) road.destroy()
    await settle()
    expect(turns.isCrowded).toBe(false)
  })

  test('gives its turn up when its replay does not get on', async () => {
    const clock = new FakeClock()
    const turns = new CatchUpTurns(1)
    const rigs = [1, 2].map(() => rig({ clock, turns, room: 1 }))
    for (const { road } of rigs) {
      await road.open()
      for (const message of messages) road.push(message)
    }
    for (const { hops } of rigs) hops[0]!.close()
    // Something is taken, or the next hop would be lost.
    for (let second = 1; second <= 11; second++) {
      await clock.advance(1_000)
      rigs[0]!.hops[1]!.progress(second)
    }
    expect(rigs[1]!.hops).toHaveLength(2)
    for (const { road } of rigs) road.destroy()
  })
})
