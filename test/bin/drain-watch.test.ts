import { beforeEach, expect, test } from 'vitest'
import { type Drain, watchDrain } from '../../bin/drain-watch.ts'
import { ServiceError } from '../../common/errors.ts'
import { FakeClock } from '../support/fake-clock.ts'

let clock: FakeClock
let said: string[]
let stop: AbortController

beforeEach(() => {
  clock = new FakeClock()
  said = []
  stop = new AbortController()
})

const drain = (left: number, more: Partial<Drain> = {}): Drain => ({
  since: '2026-01-01T00:00:00.000Z',
  draining: true,
  streams: 5,
  left,
  obstacle: null,
  ...more,
})

/** Follows from the first; the others are answered second by second. */
function follow(first: Drain, later: (Drain | Error)[], timeoutMs?: number) {
  return watchDrain(first, {
    clock,
    read: async () => {
      const next = later.length > 1 ? later.shift()! : later[0]!
      if (next instanceof Error) throw next
      return next
    },
    say: (line) => said.push(line),
    signal: stop.signal,
    timeoutMs,
  })
}

test('says each step until nothing is left', async () => {
  const watched = follow(drain(5), [drain(5), drain(3), drain(3), drain(0)])
  await clock.advance(4_000)
  expect(await watched).toEqual({ outcome: 'empty', view: drain(0) })
  expect(said).toEqual(['5 of 5 streams left', '3 of 5 streams left'])
})

test('is over at once where nothing is there', async () => {
  expect(await follow(drain(0), [])).toMatchObject({ outcome: 'empty' })
  expect(said).toEqual([])
})

test.each([
  ['no-transcoder', '2 of 5 streams left; no other transcoder can take them'],
  [
    'publishers-stay',
    '2 of 5 streams left; publishers stay with an edge or gateway until they leave',
  ],
  [
    'publishers-away',
    '2 of 5 streams left; their publishers are away: they end, or move when those come back',
  ],
] as const)('says what is in the way: %s', async (obstacle, line) => {
  const watched = follow(drain(2, { obstacle }), [drain(0)])
  await clock.advance(1_000)
  await watched
  expect(said).toEqual([line])
})

test('gives up at its timeout with what is left', async () => {
  const watched = follow(drain(5), [drain(4)], 2_500)
  await clock.advance(2_500)
  expect(await watched).toEqual({ outcome: 'timeout', view: drain(4) })
})

test('stops when told to, and when somebody lets the node in again', async () => {
  const stopped = follow(drain(5), [drain(5)])
  stop.abort()
  expect(await stopped).toMatchObject({ outcome: 'stopped' })
  stop = new AbortController()
  const undrained = follow(drain(5), [drain(5, { since: null, draining: false })])
  await clock.advance(1_000)
  expect(await undrained).toMatchObject({ outcome: 'undrained' })
})

test('outlasts a coordinator that is away, and says so once', async () => {
  const away = new ServiceError('the coordinator does not answer', {
    code: 'coordinator-away',
    source: 'upstream',
    retryable: true,
  })
  const watched = follow(drain(5), [away, away, drain(5), drain(0)])
  await clock.advance(4_000)
  expect(await watched).toMatchObject({ outcome: 'empty' })
  expect(said).toEqual([
    '5 of 5 streams left',
    'still trying: the coordinator does not answer',
    '5 of 5 streams left',
  ])
})

test('ends with any other problem', async () => {
  const gone = new ServiceError('Not Found', { code: 'http-404', source: 'downstream' })
  const watched = expect(follow(drain(5), [gone])).rejects.toThrow('Not Found')
  await clock.advance(1_000)
  await watched
})
