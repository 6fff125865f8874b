// Follows one request of node:http or node:http2 to the end of its answer, for the access log.
import { Http2ServerResponse } from 'node:http2'
import type { CacheRequest, CacheResponse } from '../../common/cache/fill-cache.ts'
import type { Clock } from '../../common/clock.ts'
import type { AccessLog, Exchange } from './access-log.ts'

const unanswered = 499

/** The entry that will be noted; whoever answers says in it what the cache did. */
export function watchExchange(
  accessLog: Pick<AccessLog, 'note'>,
  req: CacheRequest,
  res: CacheResponse,
  { address, clock }: { address: string; clock: Clock },
): Pick<Exchange, 'outcome'> {
  const since = clock.monotonic()
  const isHttp2 = res instanceof Http2ServerResponse
  const isEncrypted = 'encrypted' in req.socket
  const exchange: Exchange = {
    at: clock.now(),
    method: req.method ?? '-',
    target: req.url ?? '',
    status: unanswered,
    bytes: 0,
    ms: 0,
    outcome: undefined,
    address,
    agent: req.headers['user-agent'] ?? '',
    protocol: isHttp2 ? 'h2' : isEncrypted ? 'https' : 'http',
  }
  // Both kinds have these methods, with signatures that no one type fits. HTTP/2's end() writes by write().
  const sender = res as unknown as Record<'write' | 'end', (...args: unknown[]) => unknown>
  for (const method of isHttp2 ? (['write'] as const) : (['write', 'end'] as const)) {
    const send = sender[method]
    sender[method] = (...args) => {
      const [piece] = args
      if (typeof piece === 'string' || piece instanceof Uint8Array) {
        exchange.bytes += Buffer.byteLength(piece)
      }
      return send.apply(res, args)
    }
  }
  res.once('close', () => {
    if (res.headersSent) exchange.status = res.statusCode
    exchange.ms = clock.monotonic() - since
    accessLog.note(exchange)
  })
  return exchange
}
