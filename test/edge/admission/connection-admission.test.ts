// Who is let in before a byte is read.
import { beforeEach, expect, test } from 'vitest'
import { ConnectionAdmission } from '../../../edge/admission/connection-admission.ts'
import { GuessGuard } from '../../../edge/admission/guess-guard.ts'
import { FakeClock } from '../../support/fake-clock.ts'

let clock: FakeClock
let guesses: GuessGuard

beforeEach(() => {
  clock = new FakeClock()
  guesses = new GuessGuard(clock, { failuresPerMinute: 10, banMs: 600_000 })
})

function admissionOf(
  limits: { connections?: number; perAddress?: number; perNode?: number } = {},
): ConnectionAdmission {
  const { connections = 1_000, perAddress = 1_000, perNode = 10_000 } = limits
  return new ConnectionAdmission(
    clock,
    {
      address: { connections, handshakesPerSecond: perAddress },
      node: { handshakesPerSecond: perNode },
    },
    guesses,
  )
}

test('so many connections of an address at once, and room again when one has gone', () => {
  const admission = admissionOf({ connections: 2 })
  const first = admission.connect('a')
  admission.connect('a')
  expect(admission.connect('a')).toEqual({ refused: 'address-connections' })
  expect(admission.connect('b')).toHaveProperty('admitted')
  if ('admitted' in first) first.admitted.release()
  expect(admission.connect('a')).toHaveProperty('admitted')
})

test('so many new connections of an address a second', async () => {
  const admission = admissionOf({ perAddress: 2 })
  const verdicts = Array.from({ length: 9 }, () => admission.connect('a'))
  expect(verdicts.filter((it) => 'admitted' in it)).toHaveLength(8)
  expect(verdicts.at(-1)).toEqual({ refused: 'address-handshakes' })
  await clock.advance(500)
  expect(admission.connect('a')).toHaveProperty('admitted')
  expect(admission.connect('a')).toEqual({ refused: 'address-handshakes' })
})

test('what comes faster than the node takes it waits its turn, up to five seconds', () => {
  const admission = admissionOf({ perNode: 10 })
  const waits = Array.from({ length: 61 }, (_, i) => {
    const verdict = admission.connect(`address-${i}`)
    return 'admitted' in verdict ? verdict.admitted.waitMs : verdict.refused
  })
  expect(waits.slice(0, 12).map((it) => Math.round(Number(it)))).toEqual([
    ...Array(10).fill(0),
    100,
    200,
  ])
  expect(Math.round(Number(waits[59]))).toBe(5_000)
  expect(waits[60]).toBe('node-handshakes')
})

test('a banned address is refused, whatever else is free', () => {
  for (let i = 0; i < 10; i++) guesses.failed('a')
  expect(admissionOf().connect('a')).toEqual({ refused: 'address-banned' })
})

test('the limits per address are not for those that are exempt; that of the node is', () => {
  const admission = admissionOf({ connections: 1, perAddress: 1, perNode: 10 })
  const verdicts = Array.from({ length: 61 }, () => admission.connect(undefined))
  expect(verdicts.slice(0, 60).every((it) => 'admitted' in it)).toBe(true)
  expect(verdicts[60]).toEqual({ refused: 'node-handshakes' })
})
