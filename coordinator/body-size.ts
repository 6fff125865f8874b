// Bounds the body of a request by its declared length, before a byte of it is read.
import type { MiddlewareHandler } from 'hono'
import { Problem } from './problem.ts'

export function bodySizeLimit(maxBytes: number): MiddlewareHandler {
  return async (c, next) => {
    // Without a declared length nothing can be refused early (RFC 9110 §15.5.12).
    if (c.req.header('transfer-encoding') !== undefined) {
      throw new Problem(411, 'length-required', 'Send the body with a Content-Length.')
    }
    if (Number(c.req.header('content-length') ?? 0) > maxBytes) {
      throw new Problem(413, 'too-large', `The body is larger than ${maxBytes} bytes.`)
    }
    await next()
  }
}
