// Two threads that let in together: what one admits counts at the other.
import { PassThrough } from 'node:stream'
import { describe, expect, test } from 'vitest'
import { silentLogger } from '../../../common/log.ts'
import { edgeConfigSchema } from '../../../config/schema.ts'
import { Admission } from '../../../edge/admission/admission.ts'
import {
  clearRow,
  createAdmissionMemory,
  sharedTables,
} from '../../../edge/admission/admission-tables.ts'
import { GuessGuard } from '../../../edge/admission/guess-guard.ts'
import { FakeClock } from '../../support/fake-clock.ts'

const address = '203.0.113.1'

function twoOf(limits: Record<string, unknown>) {
  const { admission } = edgeConfigSchema.parse({
    role: 'edge',
    node: { id: 'pop-1' },
    cluster: { coordinator: 'http://127.0.0.1:1', secret: 'x'.repeat(32) },
    admission: limits,
  })
  const clock = new FakeClock()
  const memory = createAdmissionMemory(2, 'salt')
  const at = (row: number) =>
    new Admission({
      limits: admission,
      clock,
      log: silentLogger,
      shared: { tables: sharedTables(memory, row), onFailed() {} },
    })
  return { one: at(0), other: at(1), clock, memory }
}

test('connections of an address, until they are gone', () => {
  const { one, other } = twoOf({ address: { connections: 2 } })
  const first = one.connect(address)
  expect(other.connect(address)).toHaveProperty('admitted')
  expect(one.connect(address)).toEqual({ refused: 'address-connections' })
  expect(other.connect('203.0.113.2')).toHaveProperty('admitted')
  if ('admitted' in first) {
    first.admitted.release()
    first.admitted.release()
  }
  expect(other.connect(address)).toHaveProperty('admitted')
  expect(one.connect(address)).toEqual({ refused: 'address-connections' })
})

test('connections of a thread that died are free again, those of the other are not', () => {
  const { one, other, memory } = twoOf({ address: { connections: 2 } })
  one.connect(address)
  other.connect(address)
  clearRow(memory, 0)
  expect(other.connect(address)).toHaveProperty('admitted')
  expect(other.connect(address)).toEqual({ refused: 'address-connections' })
})

test('new connections a second, of an address and of the node', async () => {
  const { one, other, clock } = twoOf({ address: { handshakesPerSecond: 1 } })
  // A burst of four.
  for (const side of [one, other, one, other]) {
    expect(side.connect(address)).toHaveProperty('admitted')
  }
  for (const side of [one, other]) {
    expect(side.connect(address)).toEqual({ refused: 'address-handshakes' })
  }
  await clock.advance(1_000)
  expect(one.connect(address)).toHaveProperty('admitted')
  expect(other.connect(address)).toEqual({ refused: 'address-handshakes' })

  const node = twoOf({ node: { handshakesPerSecond: 1 } })
  const waits = [node.one, node.other, node.one].map((side, i) => {
    const verdict = side.connect(`203.0.113.${i}`)
    return 'admitted' in verdict ? verdict.admitted.waitMs : undefined
  })
  expect(waits).toEqual([0, 1_000, 2_000])
})

test('requests a second of an address', async () => {
  const { one, other, clock } = twoOf({ address: { requestsPerSecond: 2 } })
  // A burst of four.
  for (const side of [one, other, one, other]) expect(side.requests.allows(address)).toBe(true)
  for (const side of [one, other]) {
    expect(side.requests.allows(address)).toBe(false)
    expect(side.requests.allows('203.0.113.2')).toBe(true)
  }
  await clock.advance(500)
  expect(one.requests.allows(address)).toBe(true)
  expect(other.requests.allows(address)).toBe(false)
})

describe.each([
  ['an address', 'address', 'too-many-streams'],
  ['the node', 'node', 'node-full'],
] as const)('bits a second of %s', (_name, scope, code) => {
  const publishers = new Set<PassThrough>()

  async function publish(side: Admission, key: string): Promise<string | undefined> {
    const socket = new PassThrough().resume()
    const { signal } = new AbortController()
    const attempt = { keyDigest: key, signal, refuse() {} }
    const outcome = await side.publish(socket, address, attempt, async () => ({ started: {} }))
    if ('started' in outcome) publishers.add(socket)
    return 'refused' in outcome ? outcome.refused.code : undefined
  }

  /** Each publisher sends 1 Mb/s, at all sides. */
  async function send(clock: FakeClock, seconds: number): Promise<void> {
    for (let i = 0; i < seconds; i++) {
      for (const socket of publishers) socket.write(Buffer.alloc(125_000))
      await clock.advance(1_000)
    }
  }

  test('are all that one side may have, and what both have together', async () => {
    publishers.clear()
    const { one, other, clock, memory } = twoOf({ [scope]: { bitsPerSecond: 1_500_000 } })
    expect(await publish(one, 'a')).toBeUndefined()
    await send(clock, 12)
    // More than half of it, at one of two threads.
    expect(await publish(one, 'b')).toBeUndefined()
    await send(clock, 12)
    for (const side of [one, other]) expect(await publish(side, 'c')).toBe(code)
    clearRow(memory, 0)
    expect(await publish(other, 'd')).toBeUndefined()
    await send(clock, 12)
    for (const side of [one, other]) expect(await publish(side, 'e')).toBe(code)
  })

  test('are none any more when the streams have been gone for a while', async () => {
    publishers.clear()
    const { one, other, clock } = twoOf({ [scope]: { bitsPerSecond: 900_000 } })
    expect(await publish(one, 'a')).toBeUndefined()
    await send(clock, 12)
    expect(await publish(other, 'b')).toBe(code)
    for (const socket of publishers) socket.destroy()
    await clock.advance(20_000)
    expect(await publish(other, 'b')).toBeUndefined()
  })
})

test('what is sent to an address', async () => {
  const { one, other, clock } = twoOf({ address: { viewerBitsPerSecond: 8_000 } })
  one.requests.charge(address, 6_000)
  other.requests.charge(address, 4_000)
  for (const side of [one, other]) expect(side.requests.wouldAllow(address)).toBe(true)
  other.requests.charge(address, 1_000)
  for (const side of [one, other]) {
    expect(side.requests.wouldAllow(address)).toBe(false)
    expect(side.requests.allows(address)).toBe(false)
    expect(side.requests.allows('203.0.113.2')).toBe(true)
  }
  await clock.advance(1_000)
  for (const side of [one, other]) expect(side.requests.allows(address)).toBe(true)
})

test('wrong keys', async () => {
  const clock = new FakeClock()
  const limits = { failuresPerMinute: 4, banMs: 60_000 }
  const [one, other] = [new GuessGuard(clock, limits), new GuessGuard(clock, limits)]
  for (let i = 0; i < 3; i++) {
    one.failed(address)
    other.failedElsewhere(address)
  }
  expect(other.isBanned(address)).toBe(false)
  expect(other.failed(address)).toMatchObject({ isBan: true })
  one.failedElsewhere(address)
  expect(one.isBanned(address)).toBe(true)
  await clock.advance(60_000)
  expect(one.isBanned(address)).toBe(false)
})
