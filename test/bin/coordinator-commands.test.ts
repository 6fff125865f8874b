// `channel` and `key` against a real coordinator.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { silentLogger } from '../../common/log.ts'
import type { RunningRole } from '../../common/role-process.ts'
import { loadConfig } from '../../config/load.ts'
import { startCoordinator } from '../../coordinator/coordinator-node.ts'
import { nearcast } from './command.ts'

const folder = mkdtempSync(path.join(tmpdir(), 'nearcast-bin-'))
const token = `nct_${'t'.repeat(32)}`
const tokenFile = path.join(folder, 'admin-token')
let coordinator: RunningRole
let url: string

beforeAll(async () => {
  writeFileSync(tokenFile, `${token}\n`, { mode: 0o600 })
  const file = path.join(folder, 'coordinator.yaml')
  writeFileSync(
    file,
    `role: coordinator
node: { id: co-1 }
dataDir: .
cluster: { secret: ${'x'.repeat(40)} }
listen: { port: 0 }
admin: { port: 0 }
`,
  )
  const config = loadConfig(file, { role: 'coordinator', env: {} })
  coordinator = await startCoordinator(config, silentLogger)
  url = String(coordinator.endpoints.url)
  const facts = { coordinator: { url, adminToken: token, pid: process.pid } }
  writeFileSync(path.join(folder, 'ready.json'), JSON.stringify(facts))
})
afterAll(async () => {
  await coordinator[Symbol.asyncDispose]()
  rmSync(folder, { recursive: true, force: true })
})

const access = () => ['--url', url, '--token-file', tokenFile]
const run = (...args: string[]) => nearcast([...args, ...access()])
const keysOf = async (liveId: string) =>
  JSON.parse((await run('key', 'list', liveId, '--json')).stdout)

describe('channel', () => {
  test('create prints live id and key, list shows the channel and its ban, delete takes it away', async () => {
    const created = await run('channel', 'create', 'first', '--name', 'First', '--no-record')
    expect(created.code).toBe(0)
    expect(created.stdout).toMatch(/^live id {5}first\nstream key {2}nc_[A-Za-z0-9_-]{32}\n$/)
    expect((await run('channel', 'ban', 'first')).code).toBe(0)
    const table = await run('channel', 'list')
    expect(table.stdout).toMatch(
      /^LIVE ID +NAME +TOPIC +RECORD +NOW\nfirst +First +- +off +banned\n/,
    )
    expect((await run('channel', 'unban', 'first')).code).toBe(0)
    const [first] = JSON.parse((await run('channel', 'list', '--json')).stdout)
    expect(first).toMatchObject({ liveId: 'first', record: false, bannedAt: null })
    expect((await run('channel', 'delete', 'first')).code).toBe(0)
    expect(JSON.parse((await run('channel', 'list', '--json')).stdout)).toEqual([])
  })

  test.concurrent('create without a live id gets one', async () => {
    const { stdout } = await run('channel', 'create', '--json')
    const { liveId, streamKey } = JSON.parse(stdout)
    expect(liveId).toMatch(/^[a-z0-9][a-z0-9_-]{0,62}$/)
    expect(streamKey).toMatch(/^nc_/)
  })

  test.concurrent('a live id that is taken or wrong is refused in the words of the API', async () => {
    await run('channel', 'create', 'twice')
    const again = await run('channel', 'create', 'twice')
    expect([again.code, again.stdout]).toEqual([1, ''])
    expect(again.stderr).toContain('There is a channel "twice" already.')
    const wrong = await run('channel', 'create', 'No Spaces')
    expect([wrong.code, wrong.stdout]).toEqual([1, ''])
    expect(wrong.stderr).toContain('liveId')
  })
})

describe.concurrent('key', () => {
  test('create adds a key; list never shows it', async () => {
    await run('channel', 'create', 'keys')
    const { code, stdout } = await run('key', 'create', 'keys', '--label', 'second encoder')
    expect([code, stdout]).toEqual([0, expect.stringMatching(/^nc_[A-Za-z0-9_-]{32}\n$/)])
    const listed = await run('key', 'list', 'keys')
    expect(listed.stdout).toContain('second encoder')
    expect(listed.stdout).not.toContain(stdout.trim())
    expect(await keysOf('keys')).toHaveLength(2)
  })

  test('rotate leaves exactly the new key valid', async () => {
    await run('channel', 'create', 'rotated')
    await run('key', 'create', 'rotated')
    const { stdout, stderr } = await run('key', 'rotate', 'rotated', '--label', 'new')
    expect(stdout).toMatch(/^nc_/)
    expect(stderr).toBe('2 other key(s) revoked\n')
    const valid = (await keysOf('rotated')).filter((key: { revokedAt: unknown }) => !key.revokedAt)
    expect(valid).toMatchObject([{ label: 'new' }])
  })

  test('revoke takes one key away', async () => {
    await run('channel', 'create', 'revoked')
    const [{ id }] = await keysOf('revoked')
    expect((await run('key', 'revoke', 'revoked', id)).code).toBe(0)
    expect(await keysOf('revoked')).toMatchObject([{ id, revokedAt: expect.any(String) }])
  })

  test('of a channel that is not there is an error', async () => {
    const { code, stderr } = await run('key', 'list', 'nobody')
    expect([code, stderr]).toEqual([1, expect.stringMatching(/^nearcast: .*nobody.*\n$/)])
  })
})

describe.concurrent('console', () => {
  test('prints an address that opens the console once', async () => {
    const { code, stdout } = await run('console')
    expect(code).toBe(0)
    const login = /#code=(nco_\S+)/.exec(stdout)?.[1]
    const signIn = () =>
      fetch(new URL('/api/v1/sessions', stdout.trim()), {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ code: login }),
      })
    expect((await signIn()).status).toBe(201)
    expect((await signIn()).status).toBe(403)
  })
})

describe.concurrent('where the coordinator is', () => {
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
    expect(code).toBe(2)
    expect(stderr).toBe(
      'nearcast: which coordinator? Give --url and --token-file, or --data DIR of a running nearcast up\n',
    )
  })

  test('is told apart from one that does not know the token or is not there', async () => {
    const denied = await nearcast(['channel', 'list', '--url', url, '--token', 'wrong-token-value'])
    expect([denied.code, denied.stdout]).toEqual([1, ''])
    expect(denied.stderr).toMatch(/^nearcast: Unauthorized: /)
    const away = await nearcast(['channel', 'list', '--url', 'http://127.0.0.1:1', '--token', 'x'])
    expect(away.code).toBe(1)
    expect(away.stderr).toContain('the coordinator at http://127.0.0.1:1 does not answer')
  })
})
