// Errors of the HTTP API as problem documents (RFC 9457).
import { STATUS_CODES } from 'node:http'
import { z } from '@hono/zod-openapi'
import type { Context } from 'hono'
import type { ContentfulStatusCode } from 'hono/utils/http-status'
import { ServiceError } from '../common/errors.ts'

export const problemSchema = z
  .object({
    type: z.string().openapi({ example: 'urn:nearcast:problem:channel-unknown' }),
    title: z.string(),
    status: z.int(),
    detail: z.string(),
    errors: z.array(z.object({ path: z.string(), message: z.string() })).optional(),
  })
  .openapi('Problem')

export interface FieldError {
  path: string
  message: string
}

/** Thrown by handlers, written to the wire by `app.ts` alone. */
export class Problem extends ServiceError {
  readonly status: ContentfulStatusCode
  readonly errors: FieldError[] | undefined

  constructor(status: ContentfulStatusCode, code: string, detail: string, errors?: FieldError[]) {
    super(detail, { code, source: status < 500 ? 'downstream' : 'internal' })
    this.status = status
    this.errors = errors
  }
}

export function invalidRequest(part: string, error: z.ZodError): Problem {
  const errors = error.issues.map((issue) => ({
    path: [part, ...issue.path].join('.'),
    message: issue.message,
  }))
  const detail = errors.map(({ path, message }) => `${path}: ${message}`).join('; ')
  return new Problem(400, 'invalid-request', detail, errors)
}

export function problemResponse(c: Context, problem: Problem): Response {
  const { status, code, message, errors } = problem
  const body: z.infer<typeof problemSchema> = {
    type: `urn:nearcast:problem:${code}`,
    title: STATUS_CODES[status] ?? 'Error',
    status,
    detail: message,
    ...(errors && { errors }),
  }
  // RFC 9110 §11.6.1: a 401 names the scheme that would help.
  if (status === 401) c.header('www-authenticate', 'Bearer realm="nearcast"')
  c.header('cache-control', 'no-store')
  return c.body(JSON.stringify(body), status, { 'content-type': 'application/problem+json' })
}
