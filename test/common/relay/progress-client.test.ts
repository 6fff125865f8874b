import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { ProgressLine } from '../../../common/contract/progress.ts'
import { silentLogger } from '../../../common/log.ts'
import { ProgressClients } from '../../../common/relay/progress-clients.ts'
import { FakeClock } from '../../support/fake-clock.ts'
import { until } from '../../support/until.ts'

let server: Server
let asked: { request: IncomingMessage; response: ServerResponse }[]
let clock: FakeClock
let clients: ProgressClients
let url: string

beforeEach(async () => {
  asked = []
  clock = new FakeClock()
  server = createServer((request, response) => {
    asked.push({ request, response })
    response.writeHead(200)
    response.write('\n')
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  clients = new ProgressClients({ authorize: async () => 'token', clock, log: silentLogger })
})

afterEach(async () => {
  await clients[Symbol.asyncDispose]()
  server.closeAllConnections()
  server.close()
  await once(server, 'close')
})

const line = (connection: string, takenMs: number): ProgressLine => ({
  ...{ connection, takenMs, epoch: 3, liveId: 'demo', neededMs: 0 },
})

function tell(at: number, ...lines: ProgressLine[]): void {
  asked[at]!.response.write(lines.map((it) => `${JSON.stringify(it)}\n`).join(''))
}

/** The client has read what was sent before. */
function isAsked(times: number): Promise<unknown> {
  return until(`${times} requests`, () => asked.length === times)
}

test('all connections through one next hop are heard of by one stream', async () => {
  const heard: string[] = []
  using _one = clients.at(url).watch('one', (it) => heard.push(`one ${it.takenMs}`))
  using _two = clients.at(`${url}/`).watch('two', (it) => heard.push(`two ${it.takenMs}`))
  await isAsked(1)
  expect(asked[0]!.request.url).toBe('/internal/v1/progress')
  expect(asked[0]!.request.headers.authorization).toBe('Bearer token')
  tell(0, line('one', 40), line('three', 1), line('two', 50), line('one', 80))
  await until('all of it', () => heard.length === 3)
  expect(heard).toEqual(['one 40', 'two 50', 'one 80'])
  expect(asked).toHaveLength(1)
})

test('a stream that ends is opened again', async () => {
  const heard: number[] = []
  using _watch = clients.at(url).watch('one', (it) => heard.push(it.takenMs))
  await isAsked(1)
  asked[0]!.response.end()
  await until('another request', async () => {
    await clock.advance(50)
    return asked.length === 2
  })
  tell(1, line('one', 40))
  await until('a line', () => heard.length === 1)
})

test('a stream that falls silent is given up and opened again', async () => {
  const heard: number[] = []
  using _watch = clients.at(url).watch('one', (it) => heard.push(it.takenMs))
  await isAsked(1)
  tell(0, line('one', 40))
  await until('a line', () => heard.length === 1)
  const closed = once(asked[0]!.response, 'close')
  await clock.advance(2_000)
  await closed
  await until('another request', async () => {
    await clock.advance(50)
    return asked.length === 2
  })
})

test('a next hop that does not answer is asked again until it does', async () => {
  server.removeAllListeners('request')
  let refusals = 0
  server.on('request', (_request, response) => {
    refusals++
    response.writeHead(403)
    response.end()
  })
  using _watch = clients.at(url).watch('one', () => {})
  await until('three requests', async () => {
    await clock.advance(50)
    return refusals === 3
  })
})

test('nothing is open when nobody watches', async () => {
  const one = clients.at(url).watch('one', () => {})
  const two = clients.at(url).watch('one', () => {})
  await isAsked(1)
  const closed = once(asked[0]!.response, 'close')
  one[Symbol.dispose]()
  one[Symbol.dispose]()
  expect(asked[0]!.response.destroyed).toBe(false)
  two[Symbol.dispose]()
  await closed
  using _again = clients.at(url).watch('one', () => {})
  await isAsked(2)
})
