// An edge hands over to another process of itself: F29, a rolling upgrade under viewers and publishers.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { parse, stringify } from 'yaml'
import { EdgeUpgrades } from '../support/edge-upgrade.ts'
import { missingForNamespace, runInNamespace } from '../support/network-namespace.ts'
import type { Storm } from '../support/request-storm.ts'
import { TakeoverStage } from '../support/takeover-stage.ts'
import { until } from '../support/until.ts'

const storm = fileURLToPath(new URL('../support/hand-over-stage.ts', import.meta.url))
const program = fileURLToPath(new URL('../../bin/nearcast.ts', import.meta.url))
const missing = missingForNamespace()

test.skipIf(missing)(
  `no request of a storm fails while an edge hands over${missing ? `: ${missing}` : ''}`,
  async () => {
    const said = JSON.parse(await runInNamespace(storm, ['2'], { migrate: true })) as Storm
    for (const tally of Object.values(said)) {
      expect(tally.failed).toEqual({})
      expect(tally.ok).toBeGreaterThan(0)
    }
  },
)

/** Runs until it leaves. */
async function nearcast(args: string[], env: Record<string, string> = {}) {
  const child = spawn(process.execPath, [program, ...args], {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { ...process.env, ...env },
  })
  let said = ''
  child.stderr.on('data', (bytes: Buffer) => {
    said += bytes.toString()
  })
  const [code] = (await once(child, 'close')) as [number | null]
  return { code, said }
}

describe('a rolling upgrade of all POPs', () => {
  let stage: TakeoverStage
  let upgrades: EdgeUpgrades

  beforeAll(async () => {
    stage = await TakeoverStage.start({
      pops: 2,
      size: '320x180',
      reconnectAfterMs: 2_000,
      prepare: async (cluster) => {
        upgrades = new EdgeUpgrades(cluster)
        return upgrades
      },
    })
  })

  afterAll(() => stage?.[Symbol.asyncDispose]())

  test('a reload with one bad certificate changes nothing', async () => {
    const { id, admin } = stage.cluster.facts.edges[1]!
    const file = upgrades.config(id)
    const good = readFileSync(file, 'utf8')
    const post = (path: string, body?: string) => {
      const headers = { 'content-type': 'application/json' }
      return fetch(admin + path, { method: 'POST', headers, ...(body && { body }) })
    }
    const bad = parse(good)
    bad.log.level = 'error'
    bad.tls.certificates = [{ certFile: 'absent.pem', keyFile: 'absent-key.pem' }]
    writeFileSync(file, stringify(bad))
    const refused = await post('/reload')
    expect(refused.status).toBe(422)
    expect(await refused.text()).toContain('absent.pem')
    // Written at the level that was to be left out.
    await post('/purge', '{"prefix": "/no-such-path/"}')
    await until('the line', () => stage.cluster.log(id).includes('/no-such-path/'))
    writeFileSync(file, good)
    expect((await post('/reload')).status).toBe(200)
  })

  test('cannot be had by accident, and a new process that cannot start changes nothing', async () => {
    const { id, pid, admin } = stage.cluster.facts.edges[0]!
    const again = await nearcast(['edge', '--config', upgrades.config(id)])
    expect(again.code).toBe(1)
    expect(again.said).toMatch(new RegExp(`Another edge is running on .* \\(pid ${pid}\\)`))
    expect(again.said).toContain('--take-over')

    const foreign = createServer().listen(0, '127.0.0.1')
    await once(foreign, 'listening')
    const { port } = foreign.address() as { port: number }
    const failing = await nearcast(['edge', '--config', upgrades.config(id), '--take-over'], {
      NEARCAST__RTMP__ENABLED: 'true',
      NEARCAST__RTMP__PORT: String(port),
    })
    foreign.close()
    expect(failing.code).toBe(1)
    expect(failing.said).toContain(`Port ${port}`)
    await stage.segments(1)
    expect((await fetch(`${admin}/readyz`)).status).toBe(200)
    expect(stage.publisher.disconnects).toBe(0)
    expect(stage.cluster.log('coordinator')).not.toContain('two processes use one node id')
  })

  test('is nothing to viewers', async () => {
    const watched = stage.cluster.facts.edges.at(-1)!
    const left = await upgrades.upgrade(watched)
    await stage.segments(2)
    await left()
    await stage.segments(1)
    expect(stage.publisher.disconnects).toBe(0)
  })

  test('lets a publisher stay, then has it connect again, once', async () => {
    const { publisher } = stage
    const published = stage.cluster.facts.edges[0]!
    await upgrades.limitPublishers(published, 4_000)
    const left = await upgrades.upgrade(published)
    expect(publisher.disconnects).toBe(0)
    await until('the publisher to be back', () => publisher.startedAtMs.length === 2)
    expect(publisher.disconnects).toBe(1)
    await left()
    await stage.segments(2)
  })

  test('breaks no playlist', async () => {
    const heard = stage.cluster.log('coordinator')
    expect(heard).not.toContain('two processes use one node id')
    expect(heard).not.toMatch(/node (left|gone)/)
    const { faults } = await stage.audit.stop(stage.publisher.sent)
    expect(faults).toEqual([])
  })
})
