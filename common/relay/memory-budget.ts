// What the memories of all publishers of a node may take together: over it, the largest gives its oldest group.
import { totalmem } from 'node:os'
import type { MediaMemory } from './media-memory.ts'

const share = 0.25
const mostBytes = 1024 ** 3

export class MemoryBudget {
  readonly #limitBytes: number
  readonly #memories = new Set<MediaMemory>()
  #bytes = 0

  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes
  }

  get bytes(): number {
    return this.#bytes
  }

  add(memory: MediaMemory): Disposable {
    this.#memories.add(memory)
    return { [Symbol.dispose]: () => void this.#memories.delete(memory) }
  }

  /** Told by each memory of its own growth. */
  count(deltaBytes: number): void {
    this.#bytes += deltaBytes
  }

  /** After a message was kept. */
  enforce(): void {
    while (this.#bytes > this.#limitBytes) {
      let largest: MediaMemory | undefined
      for (const memory of this.#memories)
        if (memory.bytes > (largest?.bytes ?? 0)) largest = memory
      if (!largest?.dropOldest()) return
    }
  }
}

/** A quarter of what this process may have, at most so much. */
export function memoryBudgetBytes(most = mostBytes): number {
  const constrained = process.constrainedMemory()
  const available = constrained > 0 ? Math.min(constrained, totalmem()) : totalmem()
  return Math.min(Math.floor(available * share), most)
}
