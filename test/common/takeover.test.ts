import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type ConnectionStanding, claimOf } from '../../common/takeover.ts'

const nowMs = 1_000_000

const standing = (more: Partial<ConnectionStanding> = {}): ConnectionStanding => ({
  connection: 'one',
  attempt: 3,
  state: 'live',
  replaced: [],
  ...more,
})

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
    expect(ask(standing(), 'one', attempt)).toEqual({ isTakeover: false, replaced: [] })
  })

  test('is refused when an earlier try of it comes late', () => {
    expect(ask(standing(), 'one', 2)).toBe('already-publishing')
  })

  test('may come again however often the channel changed hands before', () => {
    const replaced = takenBefore(3_000, 2_000, 1_000)
    expect(ask(standing({ replaced }), 'one', 4)).toEqual({ isTakeover: false, replaced })
  })
})

describe('another connection', () => {
  test('takes over what is live, and who had it never comes back', () => {
    const claim = claimOf(standing(), { connection: 'two', attempt: 1 }, nowMs)
    expect(claim).toEqual({
      isTakeover: true,
      replaced: [{ connection: 'one', takenAtMs: nowMs }],
    })
    const { replaced } = claim as Exclude<typeof claim, { refused: unknown }>
    const after = standing({ connection: 'two', attempt: 1, replaced })
    expect(ask(after, 'one', 4)).toBe('already-publishing')
    expect(ask(after, 'three')).toMatchObject({ isTakeover: true })
  })

  test.each(['starting', 'held'] as const)('takes nothing from anybody while it is %s', (state) => {
    const replaced = takenBefore(3_000, 2_000, 1_000)
    expect(ask(standing({ state, replaced }), 'two')).toEqual({
      isTakeover: false,
      replaced: [...replaced, { connection: 'one', takenAtMs: null }],
    })
  })

  test('finds the lease of an older version, which names nobody', () => {
    const lease = standing({ connection: null, attempt: null })
    expect(ask(lease, 'two')).toEqual({ isTakeover: false, replaced: [] })
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
          lease = standing({ connection, attempt: 1, replaced: claim.replaced })
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
