// The admin listener of every node: metrics, health, reload, drain and purge, for the operator alone.
//
// Who may use it:
// - It is plain HTTP and meant for loopback. There, a request must name a loopback host, or a page in a
//   browser on the same machine could reach it through a DNS name of its own (DNS rebinding).
// - Nothing that changes state obeys a request made by a web page: a POST with an Origin is refused.
// - Bound to any other address, reading stays open (Prometheus must scrape), but a POST needs the token;
//   without a configured token no POST is obeyed there.
import { createHash, timingSafeEqual } from 'node:crypto'
import { once } from 'node:events'
import type { Server } from 'node:http'
import { BlockList, isIP } from 'node:net'
import { createAdaptorServer } from '@hono/node-server'
import { type Context, Hono, type Next } from 'hono'
import type { PurgeOutcome } from '../contract/purge.ts'
import { messageOf } from '../errors.ts'
import type { Logger } from '../log.ts'
import type { Metrics } from '../metrics.ts'
import { listen } from '../net/listen.ts'

/** One line of `/readyz?verbose`. */
export interface Check {
  name: string
  ok: boolean
  detail?: string
}

export interface AdminListenerOptions {
  host: string
  /** 0 takes a free one. */
  port: number
  metrics: { registry: Pick<Metrics['registry'], 'metrics' | 'contentType'> }
  log: Logger
  /** False when the process should be restarted; default always true. */
  livez?: () => boolean
  /** Asked anew on each `/readyz`; a check that is not ok takes the node out of service. */
  readiness: () => readonly Check[]
  /** Rejects when the new settings are bad and the old ones stay. */
  reload: () => Promise<void>
  /** Starts taking no new work; resolves when that has begun, not when the last stream has left. */
  drain: () => Promise<void> | void
  /** True while the node drains for another reason than `POST /drain`. */
  draining?: () => boolean
  /** Drops every cached object whose path starts with `prefix`. */
  purge?: (prefix: string) => Promise<PurgeOutcome> | PurgeOutcome
  /** What the cache would do with a GET of this URL now, as data. */
  why?: (url: string) => Promise<object> | object
  /** What the cache has done since the start, as data. */
  top?: () => Promise<object> | object
  /** Bearer that a POST must carry when the listener is not on loopback. */
  token?: string | undefined
}

export interface AdminListener extends AsyncDisposable {
  readonly url: string
}

const maxBodyBytes = 16 * 1024
const maxUrlLength = 2_048

export async function startAdminListener(options: AdminListenerOptions): Promise<AdminListener> {
  const app = adminApp(options)
  const server = createAdaptorServer({
    fetch: app.fetch,
    overrideGlobalObjects: false,
    // Else Node looks every 30 s whether somebody is over them.
    serverOptions: {
      headersTimeout: 5_000,
      requestTimeout: 10_000,
      connectionsCheckingInterval: 1_000,
    },
  }) as Server
  const { port } = await listen(server, { host: options.host, port: options.port })
  const url = `http://${urlHost(options.host)}:${port}`
  if (!isLoopback(options.host)) {
    options.log.warn(
      { url, posts: options.token ? 'need the token' : 'refused' },
      'the admin listener is not on loopback: anybody who reaches it can read metrics',
    )
  }
  return {
    url,
    async [Symbol.asyncDispose]() {
      const closed = once(server, 'close')
      server.close()
      server.closeAllConnections()
      await closed
    },
  }
}

/** The routes alone, so that tests need no socket. */
export function adminApp(options: AdminListenerOptions): Hono {
  const { log, metrics } = options
  const onLoopback = isLoopback(options.host)
  let drained = false
  const app = new Hono()

  app.use(async (c: Context, next: Next) => {
    if (onLoopback && !isLoopback(hostName(c.req.header('host') ?? ''))) {
      return c.text('This listener answers only to loopback host names.\n', 421)
    }
    c.header('cache-control', 'no-store')
    c.header('x-content-type-options', 'nosniff')
    return next()
  })

  app.get('/metrics', async (c) => {
    const text = await metrics.registry.metrics()
    return c.body(text, 200, { 'content-type': metrics.registry.contentType })
  })

  app.get('/livez', (c) => (options.livez?.() === false ? c.text('stuck\n', 503) : c.text('ok\n')))

  app.get('/readyz', (c) => {
    const draining = drained || options.draining?.() === true
    const checks = options.readiness()
    const ready = !draining && checks.every((check) => check.ok)
    const status = ready ? 200 : 503
    if (c.req.query('verbose') !== undefined) return c.json({ ready, draining, checks }, status)
    return c.text(ready ? 'ok\n' : draining ? 'draining\n' : 'not ready\n', status)
  })

  app.on('POST', ['/reload', '/drain', '/purge'], async (c, next) => {
    // A browser sends Origin with every cross-site POST; nothing else does.
    if (c.req.header('origin') !== undefined) {
      return c.text('Web pages may not use this listener.\n', 403)
    }
    if (!onLoopback && !bearerMatches(c.req.header('authorization'), options.token)) {
      const reason = options.token
        ? 'This needs the admin token as a bearer.\n'
        : 'Not on loopback, this needs admin.tokenFile in the configuration.\n'
      return c.text(reason, 401, { 'www-authenticate': 'Bearer' })
    }
    return next()
  })

  app.post('/reload', async (c) => {
    try {
      await options.reload()
    } catch (err) {
      log.error({ err }, 'reload failed; the old settings stay')
      return c.json({ reloaded: false, error: messageOf(err) }, 422)
    }
    log.info('reloaded')
    return c.json({ reloaded: true })
  })

  app.post('/drain', async (c) => {
    drained = true
    log.info('draining')
    await options.drain()
    return c.json({ draining: true })
  })

  app.post('/purge', async (c) => {
    if (!options.purge) return c.json({ error: 'this node has no cache' }, 404)
    const body = parseJson(await readBounded(c.req.raw.body))
    const prefix = (body as { prefix?: unknown } | null | undefined)?.prefix
    if (typeof prefix !== 'string' || !prefix.startsWith('/')) {
      return c.json({ error: 'expected a body such as {"prefix": "/live/demo/"}' }, 400)
    }
    const { purged, late } = await options.purge(prefix)
    if (late.length > 0) {
      log.warn({ prefix, purged, late }, 'workers have not purged yet')
      const error = 'workers have not answered: what they have may still be served'
      return c.json({ purged, late, error }, 504)
    }
    log.info({ prefix, purged }, 'purged')
    return c.json({ purged })
  })

  app.get('/cache/why', async (c) => {
    if (!options.why) return c.json({ error: 'this node does not explain its cache' }, 404)
    const url = c.req.query('url')
    if (!url || url.length > maxUrlLength) {
      return c.json({ error: 'expected ?url= with a URL or path, percent-encoded' }, 400)
    }
    return c.json(await options.why(url))
  })

  app.get('/cache/top', async (c) => {
    if (!options.top) return c.json({ error: 'this node has no cache' }, 404)
    return c.json(await options.top())
  })

  for (const path of ['/reload', '/drain', '/purge']) {
    app.all(path, (c) => c.text('Use POST.\n', 405, { allow: 'POST' }))
  }
  app.notFound((c) =>
    c.text(
      'Here are /metrics, /livez, /readyz, /cache/why, /cache/top, POST /reload, /drain and /purge.\n',
      404,
    ),
  )
  app.onError((err, c) => {
    log.error({ err, path: c.req.path }, 'admin request failed')
    return c.text('Failed; the log has the reason.\n', 500)
  })
  return app
}

/** The body as text; undefined when it is larger than any request here needs. */
async function readBounded(body: ReadableStream<Uint8Array> | null): Promise<string | undefined> {
  const pieces: Uint8Array[] = []
  let bytes = 0
  for await (const piece of body ?? []) {
    bytes += piece.length
    if (bytes > maxBodyBytes) return undefined
    pieces.push(piece)
  }
  return Buffer.concat(pieces).toString('utf8')
}

function parseJson(text: string | undefined): unknown {
  try {
    return JSON.parse(text ?? '')
  } catch {
    return undefined
  }
}

const loopback = new BlockList()
loopback.addSubnet('127.0.0.0', 8, 'ipv4')
loopback.addAddress('::1', 'ipv6')

function isLoopback(host: string): boolean {
  if (host.toLowerCase() === 'localhost') return true
  const version = isIP(host)
  return version !== 0 && loopback.check(host, version === 4 ? 'ipv4' : 'ipv6')
}

/** The name in a Host header, without port and brackets. */
function hostName(header: string): string {
  const bracketed = /^\[([^\]]+)\](?::\d+)?$/.exec(header)
  return bracketed ? bracketed[1]! : header.replace(/:\d+$/, '')
}

function urlHost(host: string): string {
  if (host === '::' || host === '0.0.0.0') return 'localhost'
  return isIP(host) === 6 ? `[${host}]` : host
}

function bearerMatches(header: string | undefined, token: string | undefined): boolean {
  if (!token || !header?.startsWith('Bearer ')) return false
  const digest = (text: string) => createHash('sha256').update(text).digest()
  return timingSafeEqual(digest(header.slice('Bearer '.length)), digest(token))
}
