import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type ConnectionStanding, claimOf, replacedBy } from '../../common/takeover.ts'

const nowMs = 1_000_000

const standing = (more: Partial<ConnectionStanding> = {}): ConnectionStanding => ({
  connection: 'one',
  attempt: 3,
  state: 'live',
  replaced: [],
  waiting: [],
  ...more,
})

/** The lease once its transcoder has let that connection in. */
const letIn = (
  lease: ConnectionStanding,
  connection: string,
  isTakeover: boolean,
  atMs = nowMs,
): ConnectionStanding => {
  const replaced = replacedBy(lease, { connection, isTakeover }, atMs)
  return standing({ connection, attempt: 1, replaced })
}

const ask = (lease: ConnectionStanding, connection: string, attempt = 1, atMs = nowMs) => {
  const claim = claimOf(lease, { connection, attempt }, atMs)
  return 'refused' in claim ? claim.refused.code : claim
}

const takenBefore = (...agesMs: (number | null)[]) =>
  agesMs.map((ageMs, i) => ({
    connection: `former-${i}`,
    takenAtMs: ageMs === null ? null : nowMs - ageMs,
  }))

describe('the connection that has the channel', () => {
  test.each([3, 4])('may come again with attempt %i after attempt 3', (attempt) => {
    expect(ask(standing(), 'one', attempt)).toEqual({ isTakeover: false })
  })

  test('is refused when an earlier try of it comes late', () => {
    expect(ask(standing(), 'one', 2)).toBe('already-publishing')
  })

  test('may come again however often the channel changed hands before', () => {
    const replaced = takenBefore(3_000, 2_000, 1_000)
    expect(ask(standing({ replaced }), 'one', 4)).toEqual({ isTakeover: false })
  })

  test('keeps it while others wait to be let in, and is held to its own latest try', () => {
    const waiting = [
      { connection: 'two', attempt: 7 },
      { connection: 'one', attempt: 5 },
    ]
    expect(ask(standing({ waiting }), 'one', 5)).toEqual({ isTakeover: false })
    expect(ask(standing({ waiting }), 'one', 4)).toBe('already-publishing')
    expect(ask(standing({ waiting }), 'two', 6)).toBe('already-publishing')
  })
})

describe('another connection', () => {
  test('takes over what is live, and who had it never comes back', () => {
    expect(ask(standing(), 'two')).toEqual({ isTakeover: true })
    const after = letIn(standing(), 'two', true)
    expect(after.replaced).toEqual([{ connection: 'one', takenAtMs: nowMs }])
    expect(ask(after, 'one', 4)).toBe('already-publishing')
    expect(ask(after, 'three')).toEqual({ isTakeover: true })
  })

  test.each(['starting', 'held'] as const)('takes nothing from anybody while it is %s', (state) => {
    const replaced = takenBefore(3_000, 2_000, 1_000)
    const lease = standing({ state, replaced })
    expect(ask(lease, 'two')).toEqual({ isTakeover: false })
    const former = { connection: 'one', takenAtMs: null }
    expect(letIn(lease, 'two', false).replaced).toEqual([...replaced, former])
  })

  test('finds the lease of an older version, which names nobody', () => {
    const lease = standing({ connection: null, attempt: null })
    expect(ask(lease, 'two')).toEqual({ isTakeover: false })
    expect(letIn(lease, 'two', false).replaced).toEqual([])
  })

  test.each<[string, (number | null)[], boolean]>([
    ['the third within a minute', [30_000, 1_000], true],
    ['the fourth, at once', [40_000, 30_000, 1_000], false],
    ['the fourth, 5 s after the third', [40_000, 30_000, 5_000], true],
    ['the fourth, the first a minute ago', [60_000, 30_000, 1_000], true],
    ['one after publishers that had left', [null, null, 2_000, null, 1_000], true],
  ])('may take over as %s: %j: %s', (_name, agesMs, isAllowed) => {
    const outcome = ask(standing({ replaced: takenBefore(...agesMs) }), 'two')
    if (isAllowed) expect(outcome).toMatchObject({ isTakeover: true })
    else expect(outcome).toBe('takeover-too-often')
  })
})

test('two that fight change hands at most once in 5 s after three times, and at least so often', () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 50, max: 2_500 }), { minLength: 40, maxLength: 80 }),
      (pausesMs) => {
        let lease = standing({ connection: 'c0', attempt: 1 })
        let atMs = nowMs
        const taken: number[] = []
        for (const [i, pauseMs] of pausesMs.entries()) {
          atMs += pauseMs
          const connection = `c${i + 1}`
          const claim = claimOf(lease, { connection, attempt: 1 }, atMs)
          if ('refused' in claim) continue
          lease = letIn(lease, connection, claim.isTakeover, atMs)
          taken.push(atMs)
        }
        for (const [i, takenAtMs] of taken.entries()) {
          const waitedMs = takenAtMs - (taken[i - 1] ?? takenAtMs)
          if (i >= 3) expect(waitedMs).toBeGreaterThanOrEqual(5_000)
          expect(waitedMs).toBeLessThanOrEqual(7_500)
        }
        expect(lease.replaced.length).toBeLessThanOrEqual(32)
      },
    ),
  )
})
