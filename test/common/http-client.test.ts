import { once } from 'node:events'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { HttpClient } from '../../common/http-client.ts'

let stack: AsyncDisposableStack

beforeEach(() => {
  stack = new AsyncDisposableStack()
})

afterEach(async () => {
  await stack.disposeAsync()
})

async function serve(listener: RequestListener): Promise<string> {
  const server = createServer(listener).listen(0, '127.0.0.1')
  await once(server, 'listening')
  stack.defer(() => {
    server.closeAllConnections()
    server.close()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

const client = (options: ConstructorParameters<typeof HttpClient>[0] = {}) =>
  stack.use(new HttpClient(options))

test('sends method, headers, path and body, and answers any status', async () => {
  const url = await serve(async (request, response) => {
    const body = (await Array.fromAsync(request)).join('')
    const { method, headers } = request
    response
      .writeHead(418)
      .end(JSON.stringify({ method, url: request.url, x: headers['x-a'], body }))
  })
  const answer = await client().request(`${url}/a%20b?c=d`, {
    method: 'PUT',
    headers: { 'x-a': '1' },
    body: 'text',
  })
  expect(answer.statusCode).toBe(418)
  expect(await answer.body.json()).toEqual({
    method: 'PUT',
    url: '/a%20b?c=d',
    x: '1',
    body: 'text',
  })
})

test('keeps connections for the next request', async () => {
  const ports = new Set<number | undefined>()
  const url = await serve((request, response) => {
    ports.add(request.socket.remotePort)
    response.end('x')
  })
  const http = client()
  for (let i = 0; i < 10; i++) await (await http.request(url)).body.dump()
  expect(ports.size).toBeLessThan(10)
})

test.each([
  ['headers', { headersTimeoutMs: 50 }, false],
  ['body', { bodyTimeoutMs: 50 }, true],
])('gives up when the %s do not come', async (_name, options, hasHead) => {
  const url = await serve((_request, response) => {
    if (hasHead) response.writeHead(200).write('first')
  })
  const read = async () => (await client(options).request(url)).body.text()
  await expect(read()).rejects.toMatchObject({ code: expect.stringMatching(/TIMEOUT/) })
})

test('rejects when nobody listens, and after its end', async () => {
  const http = client()
  await expect(http.request('http://127.0.0.1:9')).rejects.toThrow()
  await http[Symbol.asyncDispose]()
  await expect(http.request('http://127.0.0.1:9')).rejects.toThrow()
})
