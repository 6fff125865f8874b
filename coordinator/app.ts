// All routes of the coordinator, and the one place where errors become answers.
import type { OpenAPIHono } from '@hono/zod-openapi'
import { HTTPException } from 'hono/http-exception'
import { secureHeaders } from 'hono/secure-headers'
import { messageOf } from '../common/errors.ts'
import { addPublicApi, newApp, type PublicApiParts } from './api/public-api.ts'
import { consoleFile } from './console-files.ts'
import { type InternalApiParts, internalApi } from './internal-api.ts'
import { Problem, problemResponse } from './problem.ts'

export interface CoordinatorParts extends InternalApiParts, PublicApiParts {
  /** Folder with the built console. */
  consoleDir: string
}

export function coordinatorApp(parts: CoordinatorParts): OpenAPIHono {
  const app = newApp()

  app.onError((err, c) => {
    if (err instanceof Problem) return problemResponse(c, err)
    if (err instanceof HTTPException) {
      return problemResponse(c, new Problem(err.status as 400, 'bad-request', messageOf(err)))
    }
    parts.log.error({ err, method: c.req.method, path: c.req.path }, 'request failed')
    return problemResponse(c, new Problem(500, 'internal', 'The request failed; the log says why.'))
  })
  app.notFound((c) => {
    return problemResponse(c, new Problem(404, 'not-found', `There is nothing at ${c.req.path}.`))
  })
  app.use(secureHeaders({ xFrameOptions: 'DENY', referrerPolicy: 'no-referrer' }))

  app.get('/livez', (c) => c.text('ok\n'))
  app.get('/readyz', (c) => (parts.closing.aborted ? c.text('draining\n', 503) : c.text('ok\n')))
  app.route('/internal/v1', internalApi(parts))
  addPublicApi(app, parts)
  app.get('/*', (c) => consoleFile(c, parts.consoleDir))
  return app
}
