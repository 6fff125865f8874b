import { randomUUID } from 'node:crypto'
import { SignJWT, UnsecuredJWT } from 'jose'
import { describe, expect, test } from 'vitest'
import { createClusterAuth } from '../../../common/cluster/cluster-auth.ts'
import type { PublishTicket } from '../../../common/contract/placement.ts'
import { FakeClock } from '../../support/fake-clock.ts'

const secret = `ncs_${'a'.repeat(40)}`

const ticket: PublishTicket = {
  liveId: 'demo',
  broadcastId: randomUUID(),
  broadcastTag: 'abcdefgh12',
  broadcastStartedAt: 1,
  epoch: 3,
  nonce: 'n'.repeat(16),
  connection: 'c'.repeat(16),
  transcoder: 'tc-1',
  instance: randomUUID(),
  record: true,
  takes: 2,
}

describe('node tokens', () => {
  test('tell who asks', async () => {
    const auth = createClusterAuth(secret, new FakeClock())
    const token = await auth.issueNodeToken('pop-1', 'edge')
    expect(await auth.verifyNodeToken(token)).toEqual({ nodeId: 'pop-1', role: 'edge' })
  })

  test('hold for a minute and the difference of two clocks, no longer', async () => {
    const clock = new FakeClock()
    const auth = createClusterAuth(secret, clock)
    const token = await auth.issueNodeToken('pop-1', 'edge')
    clock.stepWall(80_000)
    expect(await auth.verifyNodeToken(token)).toBeDefined()
    clock.stepWall(15_000)
    expect(await auth.verifyNodeToken(token)).toBeUndefined()
  })

  test('of another secret, or of none, are refused', async () => {
    const clock = new FakeClock()
    const auth = createClusterAuth(secret, clock)
    const other = createClusterAuth(`ncs_${'b'.repeat(40)}`, clock)
    expect(await auth.verifyNodeToken(await other.issueNodeToken('pop-1', 'edge'))).toBeUndefined()
    const unsigned = new UnsecuredJWT({ role: 'edge' })
      .setSubject('pop-1')
      .setAudience('nearcast-node')
      .encode()
    for (const token of [unsigned, '', 'x', 'a.b.c']) {
      expect(await auth.verifyNodeToken(token)).toBeUndefined()
    }
  })

  test('that were made to last are refused', async () => {
    const clock = new FakeClock()
    const nowSeconds = Math.floor(clock.now() / 1000)
    const eternal = await new SignJWT({ role: 'edge' })
      .setProtectedHeader({ alg: 'HS256' })
      .setSubject('pop-1')
      .setAudience('nearcast-node')
      .setIssuedAt(nowSeconds - 3600)
      .setExpirationTime(nowSeconds + 3600)
      .sign(new TextEncoder().encode(secret))
    expect(await createClusterAuth(secret, clock).verifyNodeToken(eternal)).toBeUndefined()
  })
})

describe('publish tickets', () => {
  test('carry their claims to the transcoder', async () => {
    const auth = createClusterAuth(secret, new FakeClock())
    expect(await auth.verifyTicket(await auth.signTicket(ticket))).toEqual(ticket)
  })

  test('are no node tokens, and node tokens are no tickets', async () => {
    const auth = createClusterAuth(secret, new FakeClock())
    expect(await auth.verifyNodeToken(await auth.signTicket(ticket))).toBeUndefined()
    expect(await auth.verifyTicket(await auth.issueNodeToken('tc-1', 'gateway'))).toBeUndefined()
  })
})
