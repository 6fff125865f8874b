// Deterministic damage to bytes, for tests that nothing throws whatever arrives.

/** Numbers below `limit`; the same seed gives the same row (mulberry32). */
export function randomNumbers(seed: number): (limit: number) => number {
  let state = seed
  return (limit) => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) % limit
  }
}

const telling = [0x00, 0x01, 0x7f, 0x80, 0xff]
const maxChanges = 8
const maxForeignBytes = 128

/** Damages copies of its seeds, all in one memory: millions of them cost no allocation but their views. */
export class Mutator {
  readonly #seeds: readonly Buffer[]
  readonly #memory: Buffer

  constructor(seeds: readonly Buffer[]) {
    this.#seeds = seeds
    const longest = Math.max(...seeds.map(({ length }) => length))
    this.#memory = Buffer.alloc(longest + maxChanges * maxForeignBytes)
  }

  /**
   * A seed with one to eight changes: bits, telling bytes, 32-bit extremes, cuts, repeats, foreign parts. It is there
   * until the next call.
   */
  next(random: (limit: number) => number): Buffer {
    const memory = this.#memory
    const seed = this.#seeds[random(this.#seeds.length)]!
    memory.set(seed)
    let length = seed.length
    const changes = 1 + random(maxChanges)
    for (let i = 0; i < changes && length > 0; i++) {
      const at = random(length)
      switch (random(7)) {
        case 0:
          memory[at]! ^= 1 << random(8)
          break
        case 1:
          memory[at] = telling[random(telling.length)]!
          break
        case 2:
          memory[at] = random(256)
          break
        case 3:
          if (at + 4 <= length) memory.writeUInt32BE(random(2) ? 0xffffffff : 0x7fffffff, at)
          break
        case 4: {
          const end = Math.min(length, at + 1 + random(16))
          memory.copyWithin(at, end, length)
          length -= end - at
          break
        }
        case 5: {
          // What moved up leaves its beginning where it was: that is the repeat.
          const partBytes = Math.min(length - at, 1 + random(64))
          memory.copyWithin(at + partBytes, at, length)
          length += partBytes
          break
        }
        default: {
          const other = this.#seeds[random(this.#seeds.length)]!
          const from = random(other.length + 1)
          const end = Math.min(other.length, from + 1 + random(maxForeignBytes))
          memory.copyWithin(at + end - from, at, length)
          other.copy(memory, at, from, end)
          length += end - from
        }
      }
    }
    return memory.subarray(0, length)
  }
}

/** One damaged copy, to keep. */
export function mutate(seeds: readonly Buffer[], random: (limit: number) => number): Buffer {
  return Buffer.from(new Mutator(seeds).next(random))
}
