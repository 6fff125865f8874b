// A key that may not publish costs the coordinator the same steps whatever is wrong with it: nothing but the answer
// says whether a channel has or had it.
import type { KyselyPlugin, RootOperationNode } from 'kysely'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { openDatabase } from '../../coordinator/database/database.ts'
import { publisherOf } from '../../coordinator/publisher.ts'
import { digestOf } from '../../coordinator/stream-key.ts'
import { CoordinatorFixture } from './coordinator-fixture.ts'

let fixture: CoordinatorFixture

beforeEach(async () => {
  fixture = await CoordinatorFixture.start()
})

afterEach(() => fixture[Symbol.asyncDispose]())

/** What is asked of the database, the digest itself left out. */
async function stepsFor(streamKey: string) {
  const steps: string[] = []
  const keyDigest = digestOf(streamKey)
  const watch: KyselyPlugin = {
    transformQuery: ({ node }: { node: RootOperationNode }) => {
      steps.push(JSON.stringify(node).replace(keyDigest, '…'))
      return node
    },
    transformResult: async ({ result }) => result,
  }
  await using database = await openDatabase(`${fixture.dir}/coordinator.db`, fixture.clock)
  const outcome = await publisherOf({ ...database, db: database.db.withPlugin(watch) }, keyDigest)
  return { steps, code: 'code' in outcome ? outcome.code : undefined }
}

test('unknown, revoked, expired and banned take one and the same look-up', async () => {
  const revoked = await fixture.channel('revoked')
  await fixture.api('POST', '/channels/revoked/keys/rotate', {})
  await fixture.channel('expired')
  const expiresAt = new Date(fixture.clock.now() + 1_000).toISOString()
  const { streamKey: expired } = await fixture.api<{ streamKey: string }>(
    'POST',
    '/channels/expired/keys',
    { expiresAt },
  )
  fixture.clock.stepWall(2_000)
  const banned = await fixture.channel('banned')
  await fixture.api('POST', '/channels/banned/ban')

  const unknown = await stepsFor(`nc_${'x'.repeat(32)}`)
  expect(unknown.code).toBe('key-unknown')
  expect(unknown.steps).toHaveLength(1)
  expect(await stepsFor(revoked)).toEqual({ ...unknown, code: 'key-revoked' })
  expect(await stepsFor(expired)).toEqual({ ...unknown, code: 'key-expired' })
  expect(await stepsFor(banned)).toEqual({ ...unknown, code: 'channel-banned' })
})

test('a key that may publish is noted as used, and that alone takes another step', async () => {
  const { steps, code } = await stepsFor(await fixture.channel('good'))
  expect(code).toBeUndefined()
  expect(steps.map((step) => JSON.parse(step).kind)).toEqual(['SelectQueryNode', 'UpdateQueryNode'])
})
