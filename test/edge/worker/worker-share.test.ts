// What is granted to the edge is granted to its workers together.
import { expect, test } from 'vitest'
import { edgeConfigSchema } from '../../../config/schema.ts'
import { shareOf } from '../../../edge/worker/worker-share.ts'

const config = edgeConfigSchema.parse({
  role: 'edge',
  node: { id: 'pop-1' },
  cluster: { coordinator: 'http://127.0.0.1:1', secret: 'x'.repeat(32) },
  cache: { memoryBytes: 1_000_000_000, maxWaiters: 20_000 },
})

test('memory and waiters are shared out', () => {
  const { cache } = shareOf(config, 4)
  expect(cache).toMatchObject({ memoryBytes: 250_000_000, maxWaiters: 5_000 })
})

test('limits of addresses, keys and the node hold for all together', () => {
  expect(shareOf(config, 4).admission).toEqual(config.admission)
})

test('the only worker has all of it', () => {
  expect(shareOf(config, 1)).toBe(config)
})
