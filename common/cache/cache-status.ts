// The Cache-Status header (RFC 9211): what each cache on the way did, the one nearest to the origin first.

/** Closed set: what this cache did for one request. */
export type CacheOutcome =
  /** Answered from memory. */
  | 'hit'
  /** Nothing stored: this request began the fill. */
  | 'miss'
  /** Stored but too old: this request began the fill. */
  | 'expired'
  /** Joined a fill that another request had begun. */
  | 'collapsed'
  /** Too old, but upstream, asked for a newer one, failed. */
  | 'stale'
  /** Too old, but upstream has failed a moment ago and was not asked. */
  | 'stale-hit'

const token = /^[A-Za-z*][A-Za-z0-9:/!#$%&'*+.^_`|~-]*$/

/** Our name as a structured field item: a token, or a string where it cannot be one. */
export function memberName(name: string): string {
  return token.test(name) ? name : `"${name.replace(/["\\]/g, '\\$&')}"`
}

export function cacheStatusMember(
  name: string,
  outcome: CacheOutcome,
  facts: { ttlSeconds?: number; stored?: boolean; failedStatus?: number | undefined } = {},
): string {
  const ttl = facts.ttlSeconds === undefined ? '' : `; ttl=${facts.ttlSeconds}`
  switch (outcome) {
    case 'hit':
      return `${name}; hit${ttl}`
    case 'miss':
      return `${name}; fwd=miss${facts.stored ? '; stored' : ''}`
    case 'expired':
      return `${name}; fwd=stale${facts.stored ? '; stored' : ''}`
    case 'collapsed':
      return `${name}; fwd=miss; collapsed`
    case 'stale': {
      const status = facts.failedStatus === undefined ? '' : `; fwd-status=${facts.failedStatus}`
      return `${name}; fwd=stale${status}; detail=upstream-failed`
    }
    case 'stale-hit':
      return `${name}; hit${ttl}; detail=upstream-failed`
  }
}

export function appendCacheStatus(upstream: string | undefined, member: string): string {
  return upstream ? `${upstream}, ${member}` : member
}
