// What the memories of a node may take together.
import { expect, test } from 'vitest'
import { MediaMemory, relayMemoryLimits } from '../../../common/relay/media-memory.ts'
import { MemoryBudget, memoryBudgetBytes } from '../../../common/relay/memory-budget.ts'
import { broadcast } from '../../support/rtmp-media.ts'

function memoryIn(budget: MemoryBudget) {
  const memory = new MediaMemory({
    limits: relayMemoryLimits,
    onLost: () => {},
    onBytes: (delta) => budget.count(delta),
  })
  return { memory, place: budget.add(memory) }
}

test('the largest memory gives its oldest groups until the node is within its bound', () => {
  const budget = new MemoryBudget(12_000)
  const [large, small] = [memoryIn(budget), memoryIn(budget)]
  for (const message of broadcast(2)) small.memory.push(message, 0)
  const smallBytes = small.memory.bytes
  for (const message of broadcast(8)) {
    large.memory.push(message, 0)
    budget.enforce()
  }
  expect(budget.bytes).toBe(large.memory.bytes + smallBytes)
  expect(budget.bytes).toBeLessThanOrEqual(12_000)
  expect(small.memory.bytes).toBe(smallBytes)
  expect(large.memory.start?.timestampMs).toBeGreaterThan(0)
})

test('a memory that is gone takes nothing', () => {
  const budget = new MemoryBudget(100)
  const { memory, place } = memoryIn(budget)
  for (const message of broadcast(2)) memory.push(message, 0)
  memory.clear()
  place[Symbol.dispose]()
  expect(budget.bytes).toBe(0)
  budget.enforce()
})

test('a node gives its publishers no more than a gigabyte', () => {
  expect(memoryBudgetBytes()).toBeGreaterThan(0)
  expect(memoryBudgetBytes()).toBeLessThanOrEqual(1024 ** 3)
})
