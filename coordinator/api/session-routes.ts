// How a person's browser gets in: a one-time code becomes a session; and the events that the console follows.
import { createRoute, type OpenAPIHono, z } from '@hono/zod-openapi'
import type { AccessTokens } from '../access-tokens.ts'
import { Problem } from '../problem.ts'
import { body, json, problems, secured, timeText } from './route-parts.ts'

const tags = ['Sessions']
const time = z.iso.datetime()

const makeCode = createRoute({
  method: 'post',
  path: '/login-codes',
  tags,
  security: secured,
  summary: 'Make a code that opens one session within 15 minutes; it goes into a URL fragment',
  responses: {
    201: json(z.object({ code: z.string(), expiresAt: time }), 'Made'),
    ...problems,
  },
})

const open = createRoute({
  method: 'post',
  path: '/sessions',
  tags,
  summary: 'Exchange a one-time code for a bearer that lasts 12 hours; needs no bearer',
  request: { body: body(z.strictObject({ code: z.string().max(200) })) },
  responses: {
    201: json(z.object({ token: z.string(), expiresAt: time }), 'Opened'),
    ...problems,
  },
})

const close = createRoute({
  method: 'delete',
  path: '/sessions/current',
  tags,
  security: secured,
  summary: 'End the session of the bearer',
  responses: { 204: { description: 'Ended' }, ...problems },
})

export function addSessionRoutes(api: OpenAPIHono, tokens: AccessTokens): void {
  api.openapi(makeCode, async (c) => {
    const { code, expiresAt } = await tokens.makeCode()
    c.header('cache-control', 'no-store')
    return c.json({ code, expiresAt: timeText(expiresAt) }, 201)
  })

  api.openapi(open, async (c) => {
    const session = await tokens.redeem(c.req.valid('json').code)
    if (!session) {
      throw new Problem(403, 'code-invalid', 'The code was used before, is too old, or is wrong.')
    }
    c.header('cache-control', 'no-store')
    return c.json({ token: session.token, expiresAt: timeText(session.expiresAt) }, 201)
  })

  api.openapi(close, async (c) => {
    await tokens.end(bearerOf(c.req.header('authorization')) ?? '')
    return c.body(null, 204)
  })
}

/** The token of `Authorization: Bearer …` (RFC 6750 §2.1). */
export function bearerOf(header: string | undefined): string | undefined {
  return /^Bearer +([\x21-\x7e]+) *$/i.exec(header ?? '')?.[1]
}
