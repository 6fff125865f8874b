import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { expect, test } from 'vitest'
import { createClusterAuth } from '../../../common/cluster/cluster-auth.ts'
import { CoordinatorClient } from '../../../common/cluster/coordinator-client.ts'
import { silentLogger } from '../../../common/log.ts'

test('what a publisher waits for is given up sooner than anything else', async () => {
  const frozen = createServer((socket) => socket.on('error', () => {}).resume())
  frozen.listen(0, '127.0.0.1')
  await once(frozen, 'listening')
  const client = new CoordinatorClient({
    url: `http://127.0.0.1:${(frozen.address() as AddressInfo).port}`,
    auth: createClusterAuth(`ncs_${'s'.repeat(40)}`),
    nodeId: 'gw-1',
    role: 'gateway',
    log: silentLogger,
  })
  const holder = { epoch: 1, instance: randomUUID() }
  let isReleased = false
  const released = client.releaseLease('demo', { ...holder, reason: 'stopped' }).finally(() => {
    isReleased = true
  })
  const [placed, renewed] = await Promise.all([
    client.publish({
      keyDigest: 'a'.repeat(64),
      gateway: 'gw-1',
      pop: null,
      clientAddress: '::1',
      connection: 'c'.repeat(16),
      attempt: 1,
      nonce: 'n'.repeat(16),
    }),
    client.renewLease('demo', {
      ...holder,
      nonce: null,
      state: 'live',
      takes: 0,
      cost: 0,
      video: null,
      audio: null,
      renditions: [],
    }),
  ])
  expect(placed).toMatchObject({ refused: { code: 'coordinator-away' } })
  expect(renewed).toMatchObject({ outcome: 'error' })
  expect(isReleased).toBe(false)

  await client[Symbol.asyncDispose]()
  expect(await released).toMatchObject({ outcome: 'error' })
  frozen.close()
  await once(frozen, 'close')
})
