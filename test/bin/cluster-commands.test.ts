// `ring`, `drain` and `undrain` against a real coordinator that hears of nodes by their heartbeats.

import { spawn } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { systemClock } from '../../common/clock.ts'
import { createClusterAuth } from '../../common/cluster/cluster-auth.ts'
import type { Role } from '../../common/contract/membership.ts'
import type { PublishGrant } from '../../common/contract/placement.ts'
import { silentLogger } from '../../common/log.ts'
import type { RunningRole } from '../../common/role-process.ts'
import { loadConfig } from '../../config/load.ts'
import { startCoordinator } from '../../coordinator/coordinator-node.ts'
import { heartbeatOf } from '../support/heartbeats.ts'
import { nearcast } from './command.ts'

const folder = mkdtempSync(path.join(tmpdir(), 'nearcast-bin-'))
const token = `nct_${'t'.repeat(32)}`
const secret = 'x'.repeat(40)
const tokenFile = path.join(folder, 'admin-token')
let coordinator: RunningRole
let url: string

beforeAll(async () => {
  writeFileSync(tokenFile, `${token}\n`, { mode: 0o600 })
  const file = path.join(folder, 'coordinator.yaml')
  // A node that has beaten once stays: the tests take no part in the beat.
  writeFileSync(
    file,
    `role: coordinator
node: { id: co-1 }
dataDir: .
cluster: { secret: ${secret} }
listen: { port: 0 }
admin: { port: 0 }
heartbeat: { intervalMs: 60000 }
`,
  )
  coordinator = await startCoordinator(
    loadConfig(file, { role: 'coordinator', env: {} }),
    silentLogger,
  )
  url = String(coordinator.endpoints.url)
  for (const id of ['tc-1', 'tc-2']) await beat(id, 'transcoder', false)
  await beat('tc-3', 'transcoder', true)
})
afterAll(async () => {
  await coordinator[Symbol.asyncDispose]()
  rmSync(folder, { recursive: true, force: true })
})

const instances = new Map<string, string>()

async function as<Answer>(
  id: string,
  role: Role,
  method: string,
  path: string,
  body: object,
): Promise<Answer> {
  const auth = createClusterAuth(secret, systemClock)
  const answer = await fetch(`${url}/internal/v1${path}`, {
    method,
    headers: {
      authorization: `Bearer ${await auth.issueNodeToken(id, role)}`,
      'content-type': 'application/json',
    },
    body: JSON.stringify(body),
  })
  expect(answer.status).toBe(200)
  return answer.json() as Promise<Answer>
}

async function beat(id: string, role: Role, draining: boolean): Promise<void> {
  const instance = crypto.randomUUID()
  instances.set(id, instance)
  await as(id, role, 'PUT', `/nodes/${id}`, heartbeatOf(id, { role, instance, draining }))
}

/** Makes a channel that is live; answers its transcoder. */
async function goLive(liveId: string): Promise<string> {
  const { streamKey } = JSON.parse((await run('channel', 'create', liveId, '--json')).stdout)
  const { transcoder, epoch } = await as<PublishGrant>('gw-1', 'gateway', 'POST', '/publishes', {
    keyDigest: createHash('sha256').update(streamKey).digest('hex'),
    gateway: 'gw-1',
    pop: null,
    clientAddress: '192.0.2.7',
    connection: randomBytes(16).toString('base64url'),
    attempt: 1,
    nonce: randomBytes(16).toString('base64url'),
  })
  await as(transcoder.id, 'transcoder', 'POST', `/leases/${liveId}/renew`, {
    epoch,
    instance: instances.get(transcoder.id),
    nonce: null,
    state: 'live',
    takes: 1,
    cost: 0,
    video: null,
    audio: null,
    renditions: [],
  })
  return transcoder.id
}

const run = (...args: string[]) => nearcast([...args, '--url', url, '--token-file', tokenFile])

describe.concurrent('ring whatif', () => {
  beforeAll(async () => {
    const liveIds = ['one', 'two', 'three', 'four']
    const made = await Promise.all(liveIds.map((liveId) => run('channel', 'create', liveId)))
    expect(made.map(({ code }) => code)).toEqual([0, 0, 0, 0])
  })

  test('names what would move, from where to where, and what stays', async () => {
    const { code, stdout } = await run(
      'ring',
      'whatif',
      '--remove',
      'tc-1',
      '--add',
      'tc-4:2',
      'tc-5',
    )
    expect(code).toBe(0)
    expect(stdout).toMatch(
      /^TRANSCODER +WEIGHT +SHARE NOW +SHARE THEN\ntc-1 +1 +\d+\.\d % +0\.0 %\n/,
    )
    expect(stdout).toMatch(/\ntc-4 +2 +0\.0 % +\d+\.\d %\ntc-5 +1 /)
    expect(stdout).toMatch(/\nLIVE ID +FROM +TO +NOW\n/)
    expect(stdout).toMatch(/\n\d of 4 live ids would move; 0 of them are live now\.\n/)
    expect(stdout).toContain('Live streams are sticky: 0 would stay where they are')
  })

  test('says so when nothing would move', async () => {
    const { stdout } = await run('ring', 'whatif', '--remove', 'tc-1', '--add', 'tc-1')
    expect(stdout).toContain('None of 4 live ids would move.')
  })

  test('--json is the answer of the API', async () => {
    const { stdout } = await run('ring', 'whatif', '--remove', 'tc-1', '--remove', 'tc-2', '--json')
    const answer = JSON.parse(stdout)
    expect(answer).toMatchObject({ liveIds: 4, nodes: [{ id: 'tc-1' }, { id: 'tc-2' }] })
    expect(answer.moves).toHaveLength(4)
    for (const { to } of answer.moves) expect(to).toBeNull()
  })

  test.each<[string[], number, string]>([
    [[], 2, 'what would change? Give --add ID[:WEIGHT] or --remove ID'],
    [['--add', 'tc-9:heavy'], 2, 'expected a node id, or id:weight with a weight above 0'],
    [['--add', 'tc-9:0'], 2, 'expected a node id, or id:weight with a weight above 0'],
    [['--remove', 'tc-1:2'], 2, 'expected a node id'],
    [['--remove', 'tc-9'], 1, '"tc-9" is not on the ring: it has tc-1, tc-2.'],
    [['--remove', 'tc-3'], 1, '"tc-3" is not on the ring'],
    [['--add', 'tc-2'], 1, '"tc-2" is on the ring already'],
  ])('%j is refused with the reason', async (args, code, reason) => {
    const result = await run('ring', 'whatif', ...args)
    expect([result.code, result.stdout]).toEqual([code, ''])
    expect(result.stderr).toContain(reason)
  })
})

describe('with a live stream', () => {
  let holder: string

  beforeAll(async () => {
    holder = await goLive('show')
  })

  test('ring whatif tells what stays from what goes with its node', async () => {
    const gone = await run('ring', 'whatif', '--remove', holder)
    expect(gone.stdout).toMatch(
      new RegExp(`\nshow +${holder} +tc-\\d +live on ${holder}, moves with the node\n`),
    )
    expect(gone.stdout).toContain('1 would move because their node goes')
    const come = await run('ring', 'whatif', '--add', 'tc-9:100')
    expect(come.stdout).toMatch(new RegExp(`\nshow +${holder} +tc-9 +live on ${holder}, stays\n`))
    expect(come.stdout).toContain('Live streams are sticky: 1 would stay where they are')
  })

  test('drain follows it for as long as it is told to', async () => {
    const { code, stdout, stderr } = await run('drain', holder, '--timeout', '0.1')
    expect(code).toBe(1)
    expect(stdout).toBe('1 of 1 streams left\n')
    expect(stderr).toBe(`the drain goes on; nearcast undrain ${holder} takes it back\n`)
  })

  test('drain follows it until Ctrl-C, and goes on after that', async () => {
    const program = path.resolve(import.meta.dirname, '../../bin/nearcast.ts')
    const args = ['drain', holder, '--url', url, '--token-file', tokenFile]
    const child = spawn(process.execPath, [program, ...args], {
      stdio: ['ignore', 'pipe', 'ignore'],
    })
    await once(child.stdout, 'data')
    child.kill('SIGINT')
    expect(await once(child, 'close')).toEqual([130, null])
    const view = await run('drain', holder, '--no-wait', '--json')
    expect(JSON.parse(view.stdout)).toMatchObject({ draining: true, left: 1, moving: 'show' })
    await run('undrain', holder)
  })

  afterAll(async () => {
    await run('channel', 'delete', 'show')
  })
})

describe.concurrent('drain', () => {
  test('ends when nothing is left; undrain lets the node in again', async () => {
    const drained = await run('drain', 'tc-1')
    expect(drained).toEqual({
      code: 0,
      stdout: 'tc-1 has no streams left: it can be stopped\n',
      stderr: '',
    })
    const again = await run('drain', 'tc-1', '--no-wait')
    expect(again.stdout).toBe('tc-1 gets nothing new; 0 of 0 streams left\n')
    const view = await run('drain', 'tc-1', '--json')
    expect(JSON.parse(view.stdout)).toMatchObject({ id: 'tc-1', draining: true, left: 0 })
    expect((await run('undrain', 'tc-1')).stdout).toBe('tc-1 takes streams again\n')
    const undrained = await run('undrain', 'tc-1', '--json')
    expect(JSON.parse(undrained.stdout)).toMatchObject({ draining: false, since: null })
  })

  test('cannot be taken back where the node itself says that it drains', async () => {
    const { code, stdout } = await run('undrain', 'tc-3')
    expect(code).toBe(0)
    expect(stdout).toMatch(/^tc-3 says itself that it drains/)
  })

  test.each(['drain', 'undrain'])('%s of a node that is not there is an error', async (command) => {
    const { code, stdout, stderr } = await run(command, 'tc-9')
    expect([code, stdout]).toEqual([1, ''])
    expect(stderr).toBe('nearcast: Not Found: There is no edge, gateway or transcoder "tc-9".\n')
  })

  test.each([[['drain']], [['undrain']], [['drain', 'tc-1', '--timeout', 'soon']]])(
    '%j is a usage error',
    async (args) => {
      const { code, stderr } = await run(...args)
      expect(code).toBe(2)
      expect(stderr).not.toBe('')
    },
  )
})
