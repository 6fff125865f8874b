// When an edge that ends tells viewers, lets publishers go, and is done.
import { beforeEach, describe, expect, test } from 'vitest'
import { EdgeDrain } from '../../edge/edge-drain.ts'
import { FakeClock } from '../support/fake-clock.ts'

const limits = { publisherLimitMs: 60_000, viewerLimitMs: 30_000, stopLimitMs: 5_000 }
let clock: FakeClock
let steps: string[]
let viewersGone: PromiseWithResolvers<void>
let publishersGone: PromiseWithResolvers<void>
let streams: number
let drain: EdgeDrain

beforeEach(() => {
  clock = new FakeClock()
  steps = []
  viewersGone = Promise.withResolvers()
  publishersGone = Promise.withResolvers()
  streams = 0
  drain = new EdgeDrain({
    limits: () => limits,
    viewers: {
      stopListening() {
        steps.push('stop listening')
        return viewersGone.promise
      },
      announceDrain: () => void steps.push('announce'),
      stopAccepting: () => void steps.push('end idle'),
    },
    publishers: {
      get streams() {
        return streams
      },
      left: () => (streams === 0 ? Promise.resolve() : publishersGone.promise),
      letGo: (isHurried) => void steps.push(isHurried ? 'let go soon' : 'let go'),
    },
    clock,
  })
})

/** Says when it is done. */
function watched(ending: Promise<void>): Promise<void> {
  return ending.then(() => void steps.push('done'))
}

function publishersLeave(): void {
  streams = 0
  publishersGone.resolve()
}

describe('handed over', () => {
  test('listeners go before viewers hear of it, and idle ones are given time to ask', async () => {
    void watched(drain.handedOver())
    expect(steps).toEqual(['stop listening', 'announce'])
    await clock.advance(4_999)
    expect(steps).not.toContain('end idle')
    await clock.advance(1)
    expect(steps).toContain('end idle')
    viewersGone.resolve()
    await clock.advance(0)
    expect(steps.at(-1)).toBe('done')
  })

  test('it is done at once when nobody is connected', async () => {
    viewersGone.resolve()
    await watched(drain.handedOver())
    expect(clock.monotonic()).toBe(0)
    expect(clock.pending).toBe(0)
  })

  test('an answer without an end is waited for up to the limit', async () => {
    void watched(drain.handedOver())
    await clock.advance(29_999)
    expect(steps).not.toContain('done')
    await clock.advance(1)
    expect(steps.at(-1)).toBe('done')
  })

  test('publishers stay until they leave', async () => {
    streams = 1
    viewersGone.resolve()
    void watched(drain.handedOver())
    await clock.advance(59_000)
    publishersLeave()
    await clock.advance(0)
    expect(steps).not.toContain('let go')
    expect(steps.at(-1)).toBe('done')
  })

  test('publishers that stay are let go at the limit, and waited for as long as that takes', async () => {
    streams = 1
    viewersGone.resolve()
    void watched(drain.handedOver())
    await clock.advance(60_000)
    expect(steps.at(-1)).toBe('let go')
    await clock.advance(600_000)
    expect(steps).not.toContain('done')
    publishersLeave()
    await clock.advance(0)
    expect(steps.at(-1)).toBe('done')
  })

  test('a signal meanwhile ends it soon', async () => {
    streams = 1
    void watched(drain.handedOver())
    await clock.advance(1_000)
    const stopping = drain.stop()
    await clock.advance(5_000)
    await stopping
    expect(steps).toContain('let go soon')
    expect(steps.at(-1)).toBe('done')
  })
})

describe('stopped', () => {
  test('with nobody publishing it waits for nothing', async () => {
    await drain.stop()
    expect(steps).toEqual(['stop listening', 'announce'])
    expect(clock.pending).toBe(0)
  })

  test('publishers are let go, and left behind at the limit', async () => {
    streams = 1
    void watched(drain.stop())
    await clock.advance(4_999)
    expect(steps).toEqual(['stop listening', 'announce', 'let go soon'])
    await clock.advance(1)
    expect(steps.at(-1)).toBe('done')
  })
})
