// The admin listener over a real socket where sockets matter, and through its routes elsewhere.
import { createServer } from 'node:http'
import { describe, expect, test } from 'vitest'
import {
  type AdminListenerOptions,
  adminApp,
  startAdminListener,
} from '../../../common/admin/admin-listener.ts'
import { silentLogger } from '../../../common/log.ts'
import { Metrics } from '../../../common/metrics.ts'

function options(overrides: Partial<AdminListenerOptions> = {}): AdminListenerOptions {
  return {
    host: '127.0.0.1',
    port: 0,
    metrics: new Metrics('edge', 'pop-1', '1.2.3'),
    log: silentLogger,
    readiness: () => [],
    reload: async () => {},
    drain: () => {},
    ...overrides,
  }
}

const local = { host: '127.0.0.1:9101' }

describe('admin listener', () => {
  test('serves Prometheus metrics with the prefix over a real socket', async () => {
    await using admin = await startAdminListener(options())
    const answer = await fetch(`${admin.url}/metrics`)
    expect(answer.status).toBe(200)
    expect(answer.headers.get('content-type')).toMatch(/^text\/plain/)
    const text = await answer.text()
    expect(text).toContain('nearcast_build_info{version="1.2.3",role="edge",node="pop-1"} 1')
    expect(text).toContain('process_resident_memory_bytes')
  })

  test('obeys POSTs over a real socket, with and without a body', async () => {
    const done: string[] = []
    await using admin = await startAdminListener(
      options({
        reload: async () => void done.push('reload'),
        drain: () => void done.push('drain'),
        purge: (prefix) => ({ purged: done.push(prefix), late: [] }),
      }),
    )
    const post = (path: string, body?: string | ReadableStream) =>
      fetch(`${admin.url}${path}`, {
        method: 'POST',
        ...(body !== undefined && { body, duplex: 'half' as const }),
      })
    expect((await post('/reload')).status).toBe(200)
    expect((await post('/reload', 'ignored')).status).toBe(200)
    expect(await (await post('/purge', '{"prefix":"/live/a/"}')).json()).toEqual({ purged: 3 })
    const streamed = new Blob(['{"prefix":', '"/live/b/"}']).stream()
    expect(await (await post('/purge', streamed)).json()).toEqual({ purged: 4 })
    expect((await post('/purge', `{"prefix":"/${'x'.repeat(20_000)}"}`)).status).toBe(400)
    expect((await post('/drain')).status).toBe(200)
    expect(done).toEqual(['reload', 'reload', '/live/a/', '/live/b/', 'drain'])
  })

  test('tells of the cache what is asked, where there is one', async () => {
    const told = adminApp(options({ why: async (url) => ({ url }), top: () => ({ requests: 1 }) }))
    const why = await told.request('/cache/why?url=%2Flive%2Fa%2F%3Fx%3D1', { headers: local })
    expect(await why.json()).toEqual({ url: '/live/a/?x=1' })
    expect(await (await told.request('/cache/top', { headers: local })).json()).toEqual({
      requests: 1,
    })
    const url = `/cache/why?url=/${'x'.repeat(2_048)}`
    expect((await told.request(url, { headers: local })).status).toBe(400)
    expect((await told.request('/cache/why', { headers: local })).status).toBe(400)
    const cacheless = adminApp(options())
    for (const path of ['/cache/why?url=/', '/cache/top']) {
      expect((await cacheless.request(path, { headers: local })).status).toBe(404)
    }
  })

  test('refuses connections once disposed', async () => {
    const admin = await startAdminListener(options())
    await fetch(`${admin.url}/livez`)
    await admin[Symbol.asyncDispose]()
    await expect(fetch(`${admin.url}/livez`)).rejects.toThrow()
  })

  test('names the address when the port is taken', async () => {
    const taken = createServer().listen(0, '127.0.0.1')
    await new Promise((resolve) => taken.once('listening', resolve))
    const { port } = taken.address() as { port: number }
    await expect(startAdminListener(options({ port }))).rejects.toThrow(
      `Port ${port} on 127.0.0.1 is already in use`,
    )
    await new Promise((resolve) => taken.close(resolve))
  })

  test.each([
    [[], false, 200, 'ok\n'],
    [[{ name: 'coordinator', ok: true }], false, 200, 'ok\n'],
    [[{ name: 'coordinator', ok: false }], false, 503, 'not ready\n'],
    [[{ name: 'coordinator', ok: true }], true, 503, 'draining\n'],
  ])('readiness %j with draining %s answers %i', async (checks, draining, status, text) => {
    const app = adminApp(options({ readiness: () => checks, draining: () => draining }))
    const answer = await app.request('/readyz', { headers: local })
    expect(answer.status).toBe(status)
    expect(await answer.text()).toBe(text)
  })

  test('verbose readiness lists each check', async () => {
    const checks = [{ name: 'coordinator', ok: false, detail: 'no answer' }]
    const app = adminApp(options({ readiness: () => checks }))
    const answer = await app.request('/readyz?verbose', { headers: local })
    expect(answer.status).toBe(503)
    expect(await answer.json()).toEqual({ ready: false, draining: false, checks })
  })

  test('liveness does not depend on readiness', async () => {
    const app = adminApp(options({ readiness: () => [{ name: 'x', ok: false }] }))
    expect((await app.request('/livez', { headers: local })).status).toBe(200)
    const stuck = adminApp(options({ livez: () => false }))
    expect((await stuck.request('/livez', { headers: local })).status).toBe(503)
  })

  test('a drain is started once asked for, and the node is not ready from then on', async () => {
    let drains = 0
    const app = adminApp(options({ drain: () => void drains++ }))
    const answer = await app.request('/drain', { method: 'POST', headers: local })
    expect(answer.status).toBe(200)
    expect(drains).toBe(1)
    expect((await app.request('/readyz', { headers: local })).status).toBe(503)
  })

  test('a failed reload says why', async () => {
    const app = adminApp(options({ reload: () => Promise.reject(new Error('edge.yaml:3:1: no')) }))
    const answer = await app.request('/reload', { method: 'POST', headers: local })
    expect(answer.status).toBe(422)
    expect(await answer.json()).toEqual({ reloaded: false, error: 'edge.yaml:3:1: no' })
  })

  test('purges what starts with the given prefix', async () => {
    const prefixes: string[] = []
    const app = adminApp(
      options({ purge: (prefix) => ({ purged: prefixes.push(prefix), late: [] }) }),
    )
    const answer = await app.request('/purge', {
      method: 'POST',
      headers: local,
      body: '{"prefix":"/live/demo/"}',
    })
    expect(await answer.json()).toEqual({ purged: 1 })
    expect(prefixes).toEqual(['/live/demo/'])
  })

  test('does not call a purge done that a worker has not answered', async () => {
    const app = adminApp(options({ purge: () => ({ purged: 3, late: [2] }) }))
    const body = '{"prefix":"/live/demo/"}'
    const answer = await app.request('/purge', { method: 'POST', headers: local, body })
    expect(answer.status).toBe(504)
    expect(await answer.json()).toMatchObject({ purged: 3, late: [2] })
  })

  test.each(['', '{', '[]', '{}', '{"prefix":1}', '{"prefix":"live"}'])(
    'refuses the purge body %j',
    async (body) => {
      const app = adminApp(options({ purge: () => ({ purged: 0, late: [] }) }))
      const answer = await app.request('/purge', { method: 'POST', headers: local, body })
      expect(answer.status).toBe(400)
    },
  )

  test('a node without a cache has nothing to purge', async () => {
    const app = adminApp(options())
    expect((await app.request('/purge', { method: 'POST', headers: local })).status).toBe(404)
  })

  test.each(['/reload', '/drain', '/purge'])('a GET of %s changes nothing', async (path) => {
    const app = adminApp(options({ drain: () => expect.unreachable() }))
    expect((await app.request(path, { headers: local })).status).toBe(405)
  })
})

describe('access to the admin listener', () => {
  test.each([
    ['127.0.0.1:9101', 200],
    ['localhost:9101', 200],
    ['LOCALHOST', 200],
    ['[::1]:9101', 200],
    ['127.8.0.1', 200],
    ['evil.example:9101', 421],
    ['10.0.0.1:9101', 421],
    ['', 421],
  ])('on loopback the Host %j is answered with %i', async (host, status) => {
    const answer = await adminApp(options()).request('/livez', { headers: { host } })
    expect(answer.status).toBe(status)
  })

  test('a web page cannot drain the node', async () => {
    const app = adminApp(options({ drain: () => expect.unreachable() }))
    const headers = { ...local, origin: 'http://evil.example' }
    expect((await app.request('/drain', { method: 'POST', headers })).status).toBe(403)
  })

  test.each([
    [undefined, undefined, 401],
    [undefined, 'Bearer anything', 401],
    ['a'.repeat(40), undefined, 401],
    ['a'.repeat(40), `Bearer ${'b'.repeat(40)}`, 401],
    ['a'.repeat(40), `Basic ${'a'.repeat(40)}`, 401],
    ['a'.repeat(40), `Bearer ${'a'.repeat(40)}`, 200],
  ])(
    'off loopback, token %j and header %j: a drain is answered %i',
    async (token, bearer, status) => {
      let drains = 0
      const app = adminApp(options({ host: '0.0.0.0', token, drain: () => void drains++ }))
      const headers: Record<string, string> = { host: 'pop-1.internal:9101' }
      if (bearer) headers.authorization = bearer
      expect((await app.request('/drain', { method: 'POST', headers })).status).toBe(status)
      expect(drains).toBe(status === 200 ? 1 : 0)
      expect((await app.request('/livez', { headers })).status).toBe(200)
    },
  )
})
