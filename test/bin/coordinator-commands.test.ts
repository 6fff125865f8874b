// `channel` and `key` against an HTTP server that answers as the coordinator's API does.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { text } from 'node:stream/consumers'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { nearcast } from './command.ts'

const folder = mkdtempSync(path.join(tmpdir(), 'nearcast-bin-'))
const token = `nct_${'t'.repeat(32)}`
const key = `nc_${'k'.repeat(32)}`
const requests: { line: string; bearer: string | undefined; body: unknown }[] = []
let server: Server
let url: string

const keys = [
  { id: 'k1', label: 'old', createdAt: '2026-01-01', expiresAt: null, revokedAt: null },
  { id: 'k2', label: null, createdAt: '2026-01-02', expiresAt: null, revokedAt: '2026-01-03' },
]
const channel = { liveId: 'demo', name: 'Demo', topic: null, record: true }
const answers: Record<string, [number, unknown]> = {
  'POST /api/v1/channels': [201, { ...channel, streamKey: key }],
  'GET /api/v1/channels': [200, { channels: [channel] }],
  'DELETE /api/v1/channels/demo': [204, undefined],
  'GET /api/v1/channels/demo/keys': [200, { keys }],
  'POST /api/v1/channels/demo/keys': [201, { id: 'k3', streamKey: key }],
  'DELETE /api/v1/channels/demo/keys/k1': [204, undefined],
}

beforeAll(async () => {
  server = createServer(async (req, res) => {
    const line = `${req.method} ${req.url}`
    const body = await text(req)
    const bearer = req.headers.authorization
    requests.push({ line, bearer, body: body && JSON.parse(body) })
    const missing = { title: 'Not Found', detail: 'There is no such channel.' }
    const denied = { title: 'Unauthorized', detail: 'The token is not known.' }
    const [status, answer] =
      bearer === `Bearer ${token}` ? (answers[line] ?? [404, missing]) : [401, denied]
    res.writeHead(status, { 'content-type': 'application/json' })
    res.end(answer === undefined ? undefined : JSON.stringify(answer))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  url = `http://127.0.0.1:${(server.address() as { port: number }).port}`
  writeFileSync(path.join(folder, 'token'), `${token}\n`)
  writeFileSync(
    path.join(folder, 'ready.json'),
    JSON.stringify({ coordinator: { url, adminToken: token, pid: 1 } }),
  )
})
afterAll(() => {
  server.closeAllConnections()
  server.close()
  rmSync(folder, { recursive: true, force: true })
})
beforeEach(() => {
  requests.length = 0
})

const access = () => ['--url', url, '--token-file', path.join(folder, 'token')]

describe('channel', () => {
  test('create sends what was given and prints live id and key', async () => {
    const { code, stdout } = await nearcast([
      ...['channel', 'create', 'demo', '--name', 'Demo', '--no-record'],
      ...access(),
    ])
    expect(code).toBe(0)
    expect(stdout).toBe(`live id     demo\nstream key  ${key}\n`)
    expect(requests).toEqual([
      {
        line: 'POST /api/v1/channels',
        bearer: `Bearer ${token}`,
        body: { liveId: 'demo', name: 'Demo', record: false },
      },
    ])
  })

  test('list prints a table, or JSON', async () => {
    const table = await nearcast(['channel', 'list', ...access()])
    expect(table.stdout).toBe('LIVE ID  NAME  TOPIC  RECORD\ndemo     Demo  -      on\n')
    const json = await nearcast(['channel', 'list', '--json', ...access()])
    expect(JSON.parse(json.stdout)).toEqual([channel])
  })

  test('delete asks for nothing', async () => {
    const { code } = await nearcast(['channel', 'delete', 'demo', ...access()])
    expect(code).toBe(0)
    expect(requests.map(({ line }) => line)).toEqual(['DELETE /api/v1/channels/demo'])
  })
})

describe('key', () => {
  test('list never shows a key', async () => {
    const { stdout } = await nearcast(['key', 'list', 'demo', ...access()])
    expect(stdout).toContain('k1  old    2026-01-01  -        -')
    expect(stdout).toContain('k2  -      2026-01-02  -        2026-01-03')
  })

  test('rotate makes the new key before it revokes the valid ones', async () => {
    const { stdout } = await nearcast(['key', 'rotate', 'demo', '--label', 'obs', ...access()])
    expect(stdout).toBe(`${key}\n`)
    expect(requests.map(({ line, body }) => [line, body])).toEqual([
      ['GET /api/v1/channels/demo/keys', ''],
      ['POST /api/v1/channels/demo/keys', { label: 'obs' }],
      ['DELETE /api/v1/channels/demo/keys/k1', ''],
    ])
  })

  test('revoke takes one key away', async () => {
    const { code } = await nearcast(['key', 'revoke', 'demo', 'k1', ...access()])
    expect(code).toBe(0)
    expect(requests.map(({ line }) => line)).toEqual(['DELETE /api/v1/channels/demo/keys/k1'])
  })
})

describe('where the coordinator is', () => {
  test('stands in the ready file of an up', async () => {
    const { code } = await nearcast(['channel', 'list', '--data', folder])
    expect(code).toBe(0)
  })

  test('comes from the environment', async () => {
    const env = { NEARCAST_URL: url, NEARCAST_TOKEN: token }
    expect((await nearcast(['channel', 'list'], { env })).code).toBe(0)
  })

  test('is asked for when nothing says it', async () => {
    const { code, stderr } = await nearcast(['channel', 'list'], { cwd: folder })
    expect(code).toBe(1)
    expect(stderr).toBe(
      'nearcast: which coordinator? Give --url and --token-file, or --data DIR of a running nearcast up\n',
    )
  })

  test('is told apart from a coordinator that says no or is not there', async () => {
    const missing = await nearcast(['key', 'list', 'nobody', ...access()])
    expect([missing.code, missing.stderr]).toEqual([
      1,
      'nearcast: Not Found: There is no such channel.\n',
    ])
    const denied = await nearcast(['channel', 'list', '--url', url, '--token', 'wrong-token-value'])
    expect([denied.code, denied.stderr]).toEqual([
      1,
      'nearcast: Unauthorized: The token is not known.\n',
    ])
    const away = await nearcast(['channel', 'list', '--url', 'http://127.0.0.1:1', '--token', 'x'])
    expect(away.code).toBe(1)
    expect(away.stderr).toContain('the coordinator at http://127.0.0.1:1 does not answer')
  })
})
