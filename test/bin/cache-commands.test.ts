// `cache why` and `top` against the admin listener of a cache that is asked by real requests.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type AdminListener, startAdminListener } from '../../common/admin/admin-listener.ts'
import { systemClock } from '../../common/clock.ts'
import { silentLogger } from '../../common/log.ts'
import { Metrics } from '../../common/metrics.ts'
import { DeliveryHandler } from '../../edge/delivery/delivery-handler.ts'
import { StaticPages } from '../../edge/delivery/static-pages.ts'
import { Listeners } from '../support/cache-rig.ts'
import { ScriptedOrigin } from '../support/scripted-origin.ts'
import { nearcast } from './command.ts'

const segment = '/live/demo/abcdef12-1/720p/7.m4s'
const stack = new AsyncDisposableStack()
let admin: AdminListener
let listeners: Listeners
let gateway: ScriptedOrigin

beforeAll(async () => {
  gateway = stack.use(await ScriptedOrigin.start())
  gateway.respond = (exchange) => exchange.head(200).end('x'.repeat(1_500))
  const metrics = new Metrics('edge', 'pop-1', '0')
  const delivery = new DeliveryHandler({
    name: 'pop-1',
    cache: { memoryBytes: 1_000_000, maxObjectBytes: 1_000_000 },
    upstream: { connectTimeoutMs: 1_000, waitTargetDurations: 3 },
    pickGateways: () => [gateway.url],
    authorize: async () => 'node-token',
    isReady: () => true,
    pages: new StaticPages(new Map()),
    clock: systemClock,
    log: silentLogger,
    metrics,
  })
  listeners = stack.use(await Listeners.start((req, res) => delivery.handle(req, res)))
  stack.use(delivery)
  admin = stack.use(
    await startAdminListener({
      host: '127.0.0.1',
      port: 0,
      metrics,
      log: silentLogger,
      readiness: () => [],
      reload: async () => {},
      drain: () => {},
      why: async (url) => delivery.why(url),
      top: async () => delivery.top('one'),
    }),
  )
})
afterAll(() => stack.disposeAsync())

const run = (...args: string[]) => nearcast([...args, '--admin', admin.url])

describe('cache why', () => {
  test('says in words what is not here yet', async () => {
    const { code, stdout } = await run(
      'cache',
      'why',
      'https://pop-1.example.com/live/demo/720p.m3u8?_HLS_msn=4&token=s3cret',
    )
    expect(code).toBe(0)
    expect(stdout).toBe(
      `node    pop-1
path    /live/demo/720p.m3u8
is      a media playlist of live id demo, rendition 720p, held back until the playlist has got that far
query   _HLS_msn is part of the key: a delivery directive of low-latency HLS
query   token is dropped: no part of a query but delivery directives names another object
key     /live/demo/720p.m3u8?_HLS_msn=4
kept    fresh for 0.40 s at most; up to 6.0 s old it stands in while upstream fails
stored  no
fill    none under way
asks    ${gateway.url}
next    starts a fill from ${gateway.url}
`,
    )
  })

  test('says what is here, and why a URL is refused', async () => {
    await (await listeners.view('h1', segment)).text()
    const { stdout } = await run('cache', 'why', segment)
    expect(stdout).toMatch(
      /\nis {6}a segment of live id demo, rendition 720p, take abcdef12-1, number 7\n/,
    )
    expect(stdout).toMatch(/\nstored {2}yes: 1\.5 kB, \d+ s old\n/)
    expect(stdout).toMatch(/\nnext {4}is a hit, from memory\n$/)
    const refused = await run('cache', 'why', '/live/Demo/index.m3u8')
    expect([refused.code, refused.stdout]).toEqual([
      0,
      expect.stringMatching(/\nnext {4}is refused with 404, path-unknown: "Demo" is no live id/),
    ])
  })

  test('--json is the answer of the node', async () => {
    const { stdout } = await run('cache', 'why', '/time', '--json')
    expect(JSON.parse(stdout)).toMatchObject({ node: 'pop-1', path: '/time', gateways: [] })
  })

  test('tells the way out where the listener is not there', async () => {
    const { code, stderr } = await nearcast(['cache', 'why', '/', '--admin', 'http://127.0.0.1:1'])
    expect(code).toBe(1)
    expect(stderr).toMatch(
      /^nearcast: the admin listener at http:\/\/127\.0\.0\.1:1 does not answer/,
    )
  })
})

describe.each([
  ['cache', 'why', '/'],
  ['top', '--once'],
])('%s', (...command) => {
  test('says so where a URL leads to something else', async () => {
    gateway.respond = (exchange) => exchange.head(200, { 'content-type': 'text/html' }).end('<p>')
    const { code, stderr } = await nearcast([...command, '--admin', gateway.url])
    expect(code).toBe(1)
    expect(stderr).toMatch(
      /^nearcast: http:\/\/[^ ]+\/cache\/(?:why|top): not what an admin listener says\n$/,
    )
  })
})

describe('top', () => {
  test('prints a plain table where there is no terminal', async () => {
    await (await listeners.view('h1', '/live/demo/index.m3u8')).text()
    const { code, stdout } = await run('top', '--once', '--interval', '0.2')
    expect(code).toBe(0)
    expect(stdout).toMatch(
      /^NODE +ROLE +REQ\/S +HIT % +MBIT\/S +FILLS +WAITING +HELD +VIEWERS +OBJECTS +MB\npop-1 +edge +0\.0 +- +0\.00 +0 +0 +0 +1 +2 /,
    )
    expect(stdout).toMatch(
      /\nLIVE ID OR RECORDING +VIEWERS +REQ\/S +MBIT\/S\ndemo +1 +0\.0 +0\.00\n/,
    )
    expect(stdout).not.toContain('\x1b')
  })

  test('--json is a line for each look', async () => {
    const { stdout } = await run('top', '--once', '--json', '--interval', '0.2')
    expect(JSON.parse(stdout)).toMatchObject({
      nodes: [{ node: 'pop-1', role: 'edge', cache: { requestsPerSecond: 0, hitRatio: null } }],
      lives: [{ id: 'demo' }],
    })
  })

  test('refuses an interval that is none', async () => {
    expect((await run('top', '--interval', '0')).code).toBe(2)
  })
})
