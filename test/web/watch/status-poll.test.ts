// The status poll: what it makes of answers and how often it asks.
import { afterEach, describe, expect, test } from 'vitest'
import type { StatusAnswer } from '../../../web/watch/session.ts'
import {
  nextPollMs,
  type PolledResponse,
  readStatus,
  StatusPoll,
} from '../../../web/watch/status-poll.ts'
import { FakeClock } from '../../support/fake-clock.ts'

const steady = { steady: 0, failures: 0, isHidden: false, random: 0.5 }

describe('pause between two questions', () => {
  test.each([
    ['live', { ...steady, state: 'live' as const }, 2_000],
    ['held for long', { ...steady, state: 'held' as const, steady: 99 }, 2_000],
    ['just offline', { ...steady, state: 'offline' as const, steady: 29 }, 2_000],
    ['offline for long', { ...steady, state: 'offline' as const, steady: 30 }, 5_000],
    ['unknown for long', { ...steady, state: null, steady: 30 }, 5_000],
    ['one failure', { ...steady, state: null, failures: 1 }, 3_000],
    ['many failures', { ...steady, state: null, failures: 40 }, 15_000],
    ['hidden', { ...steady, state: 'live' as const, isHidden: true }, 10_000],
    ['earliest', { ...steady, state: 'live' as const, random: 0 }, 1_700],
    ['latest', { ...steady, state: 'live' as const, random: 1 }, 2_300],
  ])('%s', (_name, facts, expected) => {
    expect(nextPollMs(facts)).toBe(expected)
  })
})

describe('body of a status', () => {
  test.each([[null], ['live'], [{}], [{ liveId: 'demo' }], [{ liveId: 'demo', state: 'on' }]])(
    '%j is none',
    (body) => {
      expect(readStatus(body)).toBeUndefined()
    },
  )

  test('what is missing or odd is empty, not an error', () => {
    const body = { liveId: 'demo', state: 'live', viewers: -3, title: 7, replayId: 4, more: true }
    expect(readStatus(body)).toEqual({
      liveId: 'demo',
      title: '',
      description: '',
      topic: null,
      state: 'live',
      broadcastId: null,
      startedAt: null,
      takes: 0,
      viewers: 0,
      replayId: null,
    })
  })
})

describe('poll', () => {
  const clock = new FakeClock()
  let poll: StatusPoll | undefined
  afterEach(() => poll?.stop())

  function start(respond: () => Promise<PolledResponse>) {
    const answers: StatusAnswer['kind'][] = []
    const asked = { times: 0 }
    poll = new StatusPoll({
      url: '/live/demo/status.json',
      clock,
      fetch: (_url, { signal }) => {
        asked.times++
        return Promise.race([
          respond(),
          new Promise<never>((_resolve, reject) => {
            signal.addEventListener('abort', () => reject(new Error('aborted')))
          }),
        ])
      },
      isHidden: () => false,
      random: () => 0.5,
      onAnswer: ({ kind }) => answers.push(kind),
    })
    const done = poll.run()
    return { answers, asked, done }
  }
  const respond = (status: number, body: unknown = {}) =>
    Promise.resolve({ status, ok: status < 300, json: () => Promise.resolve(body) })

  test('asks every 2 s until it is stopped', async () => {
    const { answers, asked, done } = start(() => respond(200, { liveId: 'demo', state: 'live' }))
    await clock.advance(8_000)
    expect(answers).toEqual(['status', 'status', 'status', 'status', 'status'])
    poll?.stop()
    await done
    await clock.advance(10_000)
    expect(asked.times).toBe(5)
  })

  test.each([
    ['404', () => respond(404), 'unknown'],
    ['502', () => respond(502), 'failed'],
    ['a body that is no status', () => respond(200, { hello: 1 }), 'failed'],
    ['no connection', () => Promise.reject(new TypeError('failed to fetch')), 'failed'],
  ])('%s is an answer too', async (_name, answer, kind) => {
    const { answers } = start(answer)
    await clock.advance(0)
    expect(answers).toEqual([kind])
  })

  test('does not wait for ever for an answer', async () => {
    const { answers } = start(() => new Promise(() => {}))
    await clock.advance(7_999)
    expect(answers).toEqual([])
    await clock.advance(1)
    expect(answers).toEqual(['failed'])
  })

  test('asks at once when hurried', async () => {
    const { asked } = start(() => respond(502))
    await clock.advance(1_000)
    expect(asked.times).toBe(1)
    poll?.hurry()
    await clock.advance(0)
    expect(asked.times).toBe(2)
  })
})
