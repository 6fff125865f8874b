// Cache-Status as RFC 9211 writes it.
import { expect, it } from 'vitest'
import {
  appendCacheStatus,
  cacheStatusMember,
  memberName,
} from '../../../common/cache/cache-status.ts'

it.each([
  ['pop-1', 'pop-1'],
  ['gw.eu_1', 'gw.eu_1'],
  ['1pop', '"1pop"'],
])('writes the name %s as %s', (name, item) => {
  expect(memberName(name)).toBe(item)
})

it.each([
  ['hit', { ttlSeconds: 3 }, 'pop-1; hit; ttl=3'],
  ['miss', { stored: true }, 'pop-1; fwd=miss; stored'],
  ['miss', {}, 'pop-1; fwd=miss'],
  ['expired', { stored: true }, 'pop-1; fwd=stale; stored'],
  ['collapsed', {}, 'pop-1; fwd=miss; collapsed'],
  ['stale', { failedStatus: 504 }, 'pop-1; fwd=stale; fwd-status=504; detail=upstream-failed'],
  ['stale', {}, 'pop-1; fwd=stale; detail=upstream-failed'],
  ['stale-hit', { ttlSeconds: -5 }, 'pop-1; hit; ttl=-5; detail=upstream-failed'],
] as const)('says %s', (outcome, facts, member) => {
  expect(cacheStatusMember('pop-1', outcome, facts)).toBe(member)
})

it('stands after the caches nearer to the origin', () => {
  expect(appendCacheStatus('gw-1; hit', 'pop-1; fwd=miss')).toBe('gw-1; hit, pop-1; fwd=miss')
  expect(appendCacheStatus(undefined, 'pop-1; hit')).toBe('pop-1; hit')
})
