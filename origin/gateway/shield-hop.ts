// What one gateway asks of another: only what has its home there. It never asks on, so that two gateways that disagree
// about who is home ask each other once and then the transcoder.
import type { CacheRequest, CacheResponse } from '../../common/cache/fill-cache.ts'

/** RFC 8586: this request has been through a gateway. */
export const asksGateway = { 'cdn-loop': 'nearcast' }

export function isOfGateway({ headers }: Pick<CacheRequest, 'headers'>): boolean {
  return headers['cdn-loop'] === asksGateway['cdn-loop']
}

/** RFC 9110 §15.5.20: whoever asks may ask elsewhere. */
export function refuseMisdirected(res: CacheResponse): void {
  res.statusCode = 421
  res.setHeader('content-length', '0')
  res.end()
}
