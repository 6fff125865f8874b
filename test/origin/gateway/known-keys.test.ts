// The keys that a gateway knows: from a real coordinator's answers on a clock that the test turns, and from its disk.
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { KnownKeyList } from '../../../common/contract/stand-in.ts'
import { silentLogger } from '../../../common/log.ts'
import { digestOf } from '../../../coordinator/stream-key.ts'
import { KnownKeys, knownKeysFileName } from '../../../origin/gateway/known-keys.ts'
import { CoordinatorFixture, type FakeNode } from '../../coordinator/coordinator-fixture.ts'

let dir: string
let fixture: CoordinatorFixture
let gateway: FakeNode
let asked: number
let isAway: boolean

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'nearcast-keys-'))
  fixture = await CoordinatorFixture.start()
  gateway = await fixture.node('gw-1', 'gateway')
  asked = 0
  isAway = false
})

afterEach(async () => {
  await fixture[Symbol.asyncDispose]()
  await rm(dir, { recursive: true, force: true })
})

function make(): KnownKeys {
  return new KnownKeys({
    dataDir: dir,
    clock: fixture.clock,
    log: silentLogger,
    client: {
      async knownKeys() {
        asked += 1
        if (isAway) return { error: 'away' }
        return (await gateway.call<KnownKeyList>('GET', '/known-keys')).body
      },
    },
  })
}

/** As with each heartbeat. */
async function beat(keys: KnownKeys): Promise<void> {
  const { body } = await gateway.beat()
  await keys.heard(body.knownKeys as string)
}

test('follows what the coordinator knows, and asks only when that has changed', async () => {
  await using keys = make()
  const one = await fixture.channel('one', { record: false })
  await beat(keys)
  await beat(keys)
  expect(asked).toBe(1)
  expect(keys.find(digestOf(one))).toEqual({
    ...{ digest: digestOf(one), liveId: 'one', epoch: 0, record: false, expiresAt: null },
  })
  expect([keys.hasLiveId('one'), keys.hasLiveId('two')]).toEqual([true, false])
  const two = await fixture.channel('two')
  await fixture.node('tc-1', 'transcoder')
  await gateway.granted(one)
  await beat(keys)
  expect(keys.find(digestOf(two))?.record).toBe(true)
  expect(keys.find(digestOf(one))?.epoch).toBe(1)
  await fixture.api('PATCH', '/channels/two', { record: false })
  await beat(keys)
  expect(keys.find(digestOf(two))?.record).toBe(false)
  expect(asked).toBe(3)
})

test('a key that is revoked is gone with the next heartbeat, and so is one that has expired', async () => {
  await using keys = make()
  const first = await fixture.channel('one')
  const expiresAt = new Date(fixture.clock.now() + 60_000).toISOString()
  const made = await fixture.api<{ streamKey: string }>('POST', '/channels/one/keys/rotate', {
    expiresAt,
  })
  await beat(keys)
  expect(keys.find(digestOf(first))).toBeUndefined()
  expect(keys.find(digestOf(made.streamKey))?.liveId).toBe('one')
  isAway = true
  await fixture.clock.advance(60_000)
  expect(keys.find(digestOf(made.streamKey))).toBeUndefined()
})

test('as many that come as that go are noticed, also in the same moment', async () => {
  await using keys = make()
  for (const name of ['one', 'two', 'three']) await fixture.channel(name)
  const ban = (name: string) => fixture.api('POST', `/channels/${name}/ban`, {})
  await ban('three')
  await beat(keys)
  await fixture.api('DELETE', '/channels/one')
  const four = await fixture.channel('four')
  await beat(keys)
  expect([keys.hasLiveId('one'), keys.find(digestOf(four))?.liveId]).toEqual([false, 'four'])
  await fixture.api('POST', '/channels/three/unban', {})
  await ban('two')
  await beat(keys)
  expect([keys.hasLiveId('two'), keys.hasLiveId('three')]).toEqual([false, true])
})

test('two channels of which each becomes what the other was are noticed', async () => {
  await using keys = make()
  const one = await fixture.channel('one', { record: true })
  const two = await fixture.channel('two', { record: false })
  const other = await fixture.api<{ id: string; streamKey: string }>('POST', '/channels/one/keys')
  const recorded = () => [one, two].map((key) => keys.find(digestOf(key))?.record)
  await beat(keys)
  expect(recorded()).toEqual([true, false])
  await fixture.api('PATCH', '/channels/one', { record: false })
  await fixture.api('PATCH', '/channels/two', { record: true })
  await beat(keys)
  expect(recorded()).toEqual([false, true])

  const rotated = await fixture.api<{ streamKey: string }>('POST', '/channels/one/keys/rotate', {})
  await beat(keys)
  const known = [other, rotated].map((it) => keys.find(digestOf(it.streamKey))?.liveId)
  expect(known).toEqual([undefined, 'one'])
})

test('what says nothing of a key changes nothing', async () => {
  await using keys = make()
  await fixture.node('tc-1', 'transcoder')
  const one = await fixture.channel('one')
  await beat(keys)
  await fixture.api('PATCH', '/channels/one', { title: 'Another', record: true })
  expect(await gateway.publish(one)).toMatchObject({ epoch: 1 })
  await beat(keys)
  expect(asked).toBe(1)
})

test('on a busy cluster, where epochs are all that changes, a gateway asks every ten seconds', async () => {
  await using keys = make()
  await fixture.node('tc-1', 'transcoder')
  const digests: string[] = []
  for (const name of ['one', 'two']) digests.push(await fixture.channel(name))
  await beat(keys)
  for (const key of digests) {
    await gateway.granted(key)
    await beat(keys)
  }
  expect(asked).toBe(1)
  await fixture.clock.advance(10_000)
  await beat(keys)
  expect(asked).toBe(2)
  expect(digests.map((key) => keys.find(digestOf(key))?.epoch)).toEqual([1, 1])
})

test('a gateway that starts without the coordinator has what it was told last, digests only', async () => {
  const one = await fixture.channel('one')
  {
    await using keys = make()
    await beat(keys)
  }
  isAway = true
  await using again = make()
  await again.start()
  expect(again.find(digestOf(one))?.liveId).toBe('one')
  expect(await readFile(join(dir, knownKeysFileName), 'utf8')).not.toContain(one)
  expect(asked).toBe(1)
})

test('an answer that did not come is asked for again', async () => {
  await using keys = make()
  const one = await fixture.channel('one')
  isAway = true
  await beat(keys)
  expect(keys.find(digestOf(one))).toBeUndefined()
  isAway = false
  await beat(keys)
  expect(keys.find(digestOf(one))?.liveId).toBe('one')
})

test('nobody but a gateway is told', async () => {
  const edge = await fixture.node('pop-1', 'edge')
  expect((await edge.beat()).body.knownKeys).toBeUndefined()
  expect((await edge.call('GET', '/known-keys')).status).toBe(403)
})
