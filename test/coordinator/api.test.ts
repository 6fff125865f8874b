import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { ChannelStatus } from '../../common/contract/channel.ts'
import type { Finding } from '../../common/contract/placement.ts'
import type { RingView, StreamView } from '../../coordinator/api/schemas.ts'
import { CoordinatorFixture } from './coordinator-fixture.ts'

let fixture: CoordinatorFixture

beforeEach(async () => {
  fixture = await CoordinatorFixture.start()
})

afterEach(async () => {
  await fixture[Symbol.asyncDispose]()
})

interface Problem {
  type: string
  title: string
  status: number
  detail: string
  errors?: { path: string; message: string }[]
}

describe('access', () => {
  const routes = [
    ['GET', '/channels'],
    ['POST', '/channels'],
    ['GET', '/streams'],
    ['GET', '/nodes'],
    ['GET', '/ring'],
    ['GET', '/events'],
    ['POST', '/login-codes'],
    ['GET', '/no-such-thing'],
  ] as const

  test.each([
    ['no bearer', undefined],
    ['a wrong bearer', 'nct_wrong'],
    ['an empty bearer', ''],
  ])('with %s nothing is answered but a problem', async (_name, token) => {
    for (const [method, path] of routes) {
      const response = await fixture.fetch(method, `/api/v1${path}`, token)
      expect(response.status).toBe(401)
      expect(response.headers.get('content-type')).toBe('application/problem+json')
      expect(response.headers.get('www-authenticate')).toMatch(/^Bearer/)
    }
  })

  test('a node token of the cluster opens no public route', async () => {
    const token = await fixture.auth.issueNodeToken('gw-1', 'gateway')
    expect((await fixture.fetch('GET', '/api/v1/channels', token)).status).toBe(401)
  })

  test('ingests, description and health are open', async () => {
    for (const path of [
      '/ingests',
      '/api/v2/ingests',
      '/api/v1/openapi.json',
      '/livez',
      '/readyz',
    ]) {
      expect((await fixture.fetch('GET', path, undefined)).status).toBe(200)
    }
  })

  test('a code opens one session, which opens the API until it ends', async () => {
    const { code } = await fixture.api<{ code: string }>('POST', '/login-codes')
    expect(code).toMatch(/^nco_[\w-]{32}$/)
    const open = () => fixture.call<{ token: string }>('POST', '/api/v1/sessions', { code }, null)
    const { status, body } = await open()
    expect(status).toBe(201)
    expect(body.token).toMatch(/^nct_/)
    expect((await open()).status).toBe(403)
    const nodes = () => fixture.call('GET', '/api/v1/nodes', undefined, body.token)
    expect((await nodes()).status).toBe(200)
    await fixture.restart()
    expect((await nodes()).status).toBe(200)
    await fixture.call('DELETE', '/api/v1/sessions/current', undefined, body.token)
    expect((await nodes()).status).toBe(401)
  })

  test('codes and sessions age', async () => {
    const made = await fixture.api<{ code: string }>('POST', '/login-codes')
    fixture.clock.stepWall(15 * 60_000)
    const open = (code: string) =>
      fixture.call<{ token: string }>('POST', '/api/v1/sessions', { code }, null)
    expect((await open(made.code)).status).toBe(403)
    const { code } = await fixture.api<{ code: string }>('POST', '/login-codes')
    const { token } = (await open(code)).body
    fixture.clock.stepWall(12 * 60 * 60_000)
    expect((await fixture.call('GET', '/api/v1/nodes', undefined, token)).status).toBe(401)
  })

  test('a session token is not a code, and a code is no bearer', async () => {
    const { code } = await fixture.api<{ code: string }>('POST', '/login-codes')
    expect((await fixture.call('GET', '/api/v1/nodes', undefined, code)).status).toBe(401)
  })
})

describe('problems', () => {
  test.each<[string, string, string, unknown, number, string]>([
    ['a field of the wrong type', 'POST', '/channels', { record: 'yes' }, 400, 'invalid-request'],
    ['a field that does not exist', 'POST', '/channels', { colour: 1 }, 400, 'invalid-request'],
    [
      'a live id of the wrong shape',
      'POST',
      '/channels',
      { liveId: 'No!' },
      400,
      'invalid-request',
    ],
    [
      'a long description',
      'PATCH',
      '/channels/x',
      { description: 'x'.repeat(2049) },
      400,
      'invalid-request',
    ],
    ['an unknown channel', 'GET', '/channels/nobody', undefined, 404, 'channel-unknown'],
    ['an unknown topic', 'POST', '/channels', { topic: 'nothing' }, 400, 'topic-unknown'],
    ['a bad query', 'GET', '/broadcasts?limit=x', undefined, 400, 'invalid-request'],
    ['a stream that is not live', 'GET', '/streams/nobody', undefined, 404, 'not-live'],
    [
      'an unknown recording',
      'DELETE',
      `/recordings/${crypto.randomUUID()}`,
      undefined,
      404,
      'recording-unknown',
    ],
    ['an unknown path', 'POST', '/nothing', {}, 404, 'not-found'],
  ])('%s', async (_name, method, path, body, status, code) => {
    const answer = await fixture.call<Problem>(method, `/api/v1${path}`, body)
    expect(answer.status).toBe(status)
    expect(answer.headers.get('content-type')).toBe('application/problem+json')
    expect(answer.body).toMatchObject({ type: `urn:nearcast:problem:${code}`, status })
    expect(answer.body.title).not.toBe('')
    expect(answer.body.detail).not.toBe('')
  })

  test('name every field that is wrong', async () => {
    const { body } = await fixture.call<Problem>('POST', '/api/v1/channels', {
      liveId: '_',
      maxViewers: 0,
    })
    expect(body.errors?.map(({ path }) => path)).toEqual(['json.liveId', 'json.maxViewers'])
  })

  test('a body that is not JSON or too large is refused', async () => {
    const { status } = await fixture.call('POST', '/api/v1/channels', { name: 'x'.repeat(200) })
    expect(status).toBe(400)
    const bearer = { authorization: `Bearer nct_${'t'.repeat(32)}` }
    const send = (headers: Record<string, string>, body: string) =>
      fixture.raw('/api/v1/channels', { method: 'POST', headers: { ...bearer, ...headers }, body })
    expect((await send({ 'content-type': 'application/json' }, '{')).status).toBe(400)
    expect((await send({ 'content-length': '70000' }, '{}')).status).toBe(413)
    expect((await send({ 'transfer-encoding': 'chunked' }, '{}')).status).toBe(411)
  })
})

describe('channels', () => {
  test('are made with what is given and the defaults, and the key is answered once', async () => {
    const made = await fixture.call('POST', '/api/v1/channels', { liveId: 'demo', name: 'Demo' })
    expect(made.status).toBe(201)
    expect(made.body).toMatchObject({
      liveId: 'demo',
      owner: null,
      name: 'Demo',
      record: true,
      chatEnabled: true,
      protected: false,
      maxViewers: null,
      topic: null,
      views: 0,
      live: false,
    })
    expect(made.body.streamKey).toMatch(/^nc_[\w-]{32}$/)
    const read = await fixture.call('GET', '/api/v1/channels/demo')
    expect(read.body).not.toHaveProperty('streamKey')
    const { streamKey: _streamKey, ...channel } = made.body
    expect(read.body).toEqual(channel)
  })

  test('get a live id of their own where none is given', async () => {
    const { liveId } = await fixture.api<{ liveId: string }>('POST', '/channels', {})
    expect(liveId).toMatch(/^[a-z0-9]{12}$/)
  })

  test('of one live id there is one', async () => {
    await fixture.channel('demo')
    expect((await fixture.call('POST', '/api/v1/channels', { liveId: 'demo' })).status).toBe(409)
  })

  test('change field by field', async () => {
    await fixture.channel('demo', { name: 'Demo' })
    await fixture.api('PUT', '/topics/games', { name: 'Games' })
    const change = {
      title: 'Tonight',
      description: 'All of it',
      topic: 'games',
      record: false,
      chatEnabled: false,
      protected: true,
      maxViewers: 10,
    }
    expect(await fixture.api('PATCH', '/channels/demo', change)).toMatchObject({
      name: 'Demo',
      ...change,
    })
    expect(await fixture.api('PATCH', '/channels/demo', { topic: null })).toMatchObject({
      ...change,
      topic: null,
    })
    expect(await fixture.api('PATCH', '/channels/demo', {})).toMatchObject({ title: 'Tonight' })
  })

  test('are listed page by page and by topic', async () => {
    await fixture.api('PUT', '/topics/games', { name: 'Games' })
    for (const liveId of ['c', 'a', 'b']) await fixture.channel(liveId)
    await fixture.api('PATCH', '/channels/b', { topic: 'games' })
    interface Page {
      channels: { liveId: string }[]
      next: string | null
    }
    const idsOf = ({ channels }: Page) => channels.map(({ liveId }) => liveId)
    const first = await fixture.api<Page>('GET', '/channels?limit=2')
    expect(idsOf(first)).toEqual(['a', 'b'])
    const second = await fixture.api<Page>('GET', `/channels?limit=2&after=${first.next}`)
    expect(idsOf(second)).toEqual(['c'])
    expect(second.next).toBeNull()
    expect(idsOf(await fixture.api<Page>('GET', '/channels?topic=games'))).toEqual(['b'])
  })

  test('lose their topic when it is deleted, and nothing else', async () => {
    await fixture.api('PUT', '/topics/games', { name: 'Games' })
    await fixture.channel('demo', { topic: 'games' })
    await fixture.api('DELETE', '/topics/games')
    expect(await fixture.api('GET', '/channels/demo')).toMatchObject({ topic: null })
    expect(await fixture.api('GET', '/topics')).toEqual({ topics: [] })
  })
})

describe('stream keys', () => {
  interface Key {
    id: string
    label: string
    revokedAt: string | null
    streamKey: string
  }
  const keysOf = async () => (await fixture.api<{ keys: Key[] }>('GET', '/channels/demo/keys')).keys

  test('are several per channel, with labels, and listed without the key', async () => {
    await fixture.channel('demo')
    await fixture.clock.advance(1)
    await fixture.api('POST', '/channels/demo/keys', { label: 'backup' })
    const keys = await keysOf()
    expect(keys.map(({ label }) => label)).toEqual(['first', 'backup'])
    for (const key of keys) expect(key).not.toHaveProperty('streamKey')
  })

  test('are all revoked but the new one by a rotation', async () => {
    await fixture.channel('demo')
    await fixture.api('POST', '/channels/demo/keys', {})
    const made = await fixture.api<Key & { revoked: number }>(
      'POST',
      '/channels/demo/keys/rotate',
      {},
    )
    expect(made.revoked).toBe(2)
    const valid = (await keysOf()).filter(({ revokedAt }) => revokedAt === null)
    expect(valid.map(({ id }) => id)).toEqual([made.id])
  })

  test('are revoked by POST and by DELETE, the first time counts', async () => {
    await fixture.channel('demo')
    const [key] = await keysOf()
    const revoked = await fixture.api<Key>('POST', `/channels/demo/keys/${key!.id}/revoke`)
    await fixture.clock.advance(1_000)
    expect((await fixture.call('DELETE', `/api/v1/channels/demo/keys/${key!.id}`)).status).toBe(204)
    expect((await keysOf())[0]!.revokedAt).toBe(revoked.revokedAt)
  })

  test('belong to their channel', async () => {
    await fixture.channel('demo')
    await fixture.channel('other')
    const [key] = await keysOf()
    expect((await fixture.call('DELETE', `/api/v1/channels/other/keys/${key!.id}`)).status).toBe(
      404,
    )
  })

  test('cannot be read again unless the operator keeps them sealed', async () => {
    await fixture.channel('demo')
    const [key] = await keysOf()
    const path = `/api/v1/channels/demo/keys/${key!.id}/secret`
    expect((await fixture.call('GET', path)).status).toBe(404)
    await using sealing = await CoordinatorFixture.start({ keys: { sealed: true } })
    const streamKey = await sealing.channel('demo')
    const { keys } = await sealing.api<{ keys: { id: string }[] }>('GET', '/channels/demo/keys')
    expect(await sealing.api('GET', `/channels/demo/keys/${keys[0]!.id}/secret`)).toEqual({
      streamKey,
    })
  })

  test('are nowhere in the database in the clear', async () => {
    await using sealing = await CoordinatorFixture.start({ keys: { sealed: true } })
    const streamKey = await sealing.channel('demo')
    expect(await sealing.databaseBytes()).not.toContain(streamKey)
    expect(await sealing.databaseBytes()).toContain('demo')
  })
})

describe('a live stream', () => {
  test('shows its path, facts, counts and URLs', async () => {
    const gateway = await fixture.node('gw-1', 'gateway')
    const transcoder = await fixture.node('tc-1', 'transcoder')
    await fixture.node('pop-1', 'edge', {
      urls: { https: 'https://pop-1.test', rtmps: 'rtmps://pop-1.test:443/live' },
      viewers: [{ liveId: 'demo', current: 2, total: 2 }],
    })
    await fixture.api('PUT', '/topics/games', { name: 'Games' })
    const key = await fixture.channel('demo', { title: 'Tonight', topic: 'games' })
    const { broadcastId } = await gateway.granted(key, 'pop-1')
    expect(await fixture.api('GET', '/streams')).toEqual({ streams: [] })
    const video = {
      codec: 'avc1.64001f',
      width: 1280,
      height: 720,
      framesPerSecond: 30,
      bitsPerSecond: 2_500_000,
      keyframeIntervalSeconds: 2,
    }
    const findings: Finding[] = [
      { code: 'b-frames', value: 66, isWarning: true, sentence: 'B-frames hold the picture back.' },
      { code: 'rate-control', value: 'CBR', isWarning: false, sentence: 'The encoder says CBR.' },
    ]
    await transcoder.renew('demo', 1, { video, findings, cost: 27_648_000 })
    const stream = await fixture.api<StreamView>('GET', '/streams/demo')
    expect(stream).toMatchObject({
      liveId: 'demo',
      broadcastId,
      epoch: 1,
      state: 'live',
      title: 'Tonight',
      topic: 'games',
      startedAt: '2026-01-01T00:00:00.000Z',
      pop: { id: 'pop-1' },
      gateway: { id: 'gw-1' },
      transcoder: { id: 'tc-1' },
      video,
      audio: null,
      renditions: [],
      findings,
      viewers: 2,
      urls: {
        hls: 'https://pop-1.test/live/demo/index.m3u8',
        dash: 'https://pop-1.test/live/demo/manifest.mpd',
        watch: 'https://pop-1.test/watch/demo',
      },
    })
    const listed = async (query: string) =>
      (await fixture.api<{ streams: object[] }>('GET', `/streams${query}`)).streams.length
    expect(await listed('?topic=games')).toBe(1)
    expect(await listed('?topic=music')).toBe(0)
    await fixture.api('PATCH', '/channels/demo', { title: 'Later tonight' })
    expect(await fixture.api('GET', '/streams/demo')).toMatchObject({ title: 'Later tonight' })
    const { body } = await gateway.call<ChannelStatus>('GET', '/channels/demo/status')
    expect(body).toMatchObject({ title: 'Later tonight', topic: 'Games', viewers: 2 })
  })

  test('and an idle live id are found on the ring', async () => {
    const gateway = await fixture.node('gw-1', 'gateway')
    for (const id of ['tc-1', 'tc-2']) await fixture.node(id, 'transcoder')
    const grant = await gateway.granted(await fixture.channel('demo'))
    const ring = await fixture.api<RingView>('GET', '/ring?liveId=idle')
    expect(ring.nodes.reduce((sum, { share }) => sum + share, 0)).toBeCloseTo(1)
    expect(ring.streams).toMatchObject([
      { liveId: 'demo', transcoder: grant.transcoder.id, ring: grant.transcoder.id, epoch: 1 },
    ])
    expect(ring.where[0]!.order.toSorted()).toEqual(['tc-1', 'tc-2'])
    expect(ring.nodes.map(({ streams }) => streams).toSorted()).toEqual([0, 1])
  })

  test('without a name of the show bears the name of the channel', async () => {
    const gateway = await fixture.node('gw-1', 'gateway')
    const transcoder = await fixture.node('tc-1', 'transcoder')
    await gateway.granted(await fixture.channel('demo', { name: 'Demo' }))
    await transcoder.renew('demo', 1)
    expect(await fixture.api('GET', '/streams/demo')).toMatchObject({ title: 'Demo' })
  })
})

test('the description is OpenAPI 3.1 and has every route with its security', async () => {
  const document = await fixture.api<{
    openapi: string
    paths: Record<string, Record<string, { security?: object[]; responses: object }>>
  }>('GET', '/openapi.json')
  expect(document.openapi).toBe('3.1.0')
  const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({
      name: `${method} ${path}`,
      operation,
    })),
  )
  expect(operations.length).toBeGreaterThan(25)
  const open = operations.filter(({ operation }) => !operation.security).map(({ name }) => name)
  expect(open).toEqual(['post /api/v1/sessions', 'get /ingests', 'get /api/v2/ingests'])
  for (const { operation } of operations) expect(operation.responses).toHaveProperty('default')
})

describe('the console', () => {
  beforeEach(async () => {
    const dir = join(fixture.dir, 'console')
    await mkdir(join(dir, 'assets'), { recursive: true })
    await writeFile(join(dir, 'index.html'), '<!doctype html><title>x</title>')
    await writeFile(join(dir, 'assets', 'index-abc.js'), 'export {}')
    await writeFile(join(dir, '.secret.html'), 'no')
    await writeFile(join(fixture.dir, 'outside.html'), 'no')
  })

  test('is served at / under a strict policy, the page never stored, assets for ever', async () => {
    const page = await fixture.fetch('GET', '/', undefined)
    expect(page.status).toBe(200)
    expect(page.headers.get('cache-control')).toBe('no-store')
    expect(page.headers.get('content-security-policy')).toMatch(
      /^default-src 'none'; script-src 'self'/,
    )
    expect(page.headers.get('x-content-type-options')).toBe('nosniff')
    const asset = await fixture.fetch('GET', '/assets/index-abc.js', undefined)
    expect(asset.headers.get('content-type')).toMatch(/javascript/)
    expect(asset.headers.get('cache-control')).toMatch(/immutable/)
  })

  test.each([
    '/../outside.html',
    '/..%2foutside.html',
    '/%2e%2e/outside.html',
    '/assets/..%2f..%2foutside.html',
    '/.secret.html',
    '/%00index.html',
    '/%ff',
    '/assets',
    '/coordinator.db',
  ])('does not answer %s', async (path) => {
    const answer = await fixture.fetch('GET', path, undefined)
    expect(answer.status).toBe(404)
    expect(answer.headers.get('content-type')).toBe('application/problem+json')
  })
})
