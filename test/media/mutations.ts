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

/** A copy with one to eight changes: bits, telling bytes, 32-bit extremes, cuts, repeats, foreign parts. */
export function mutate(seeds: Buffer[], random: (limit: number) => number): Buffer {
  let bytes = Buffer.from(seeds[random(seeds.length)]!)
  const changes = 1 + random(8)
  for (let i = 0; i < changes && bytes.length > 0; i++) {
    const at = random(bytes.length)
    switch (random(7)) {
      case 0:
        bytes[at]! ^= 1 << random(8)
        break
      case 1:
        bytes[at] = telling[random(telling.length)]!
        break
      case 2:
        bytes[at] = random(256)
        break
      case 3:
        if (at + 4 <= bytes.length) bytes.writeUInt32BE(random(2) ? 0xffffffff : 0x7fffffff, at)
        break
      case 4:
        bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1 + random(16))])
        break
      case 5: {
        const part = bytes.subarray(at, at + 1 + random(64))
        bytes = Buffer.concat([bytes.subarray(0, at), part, bytes.subarray(at)])
        break
      }
      default: {
        const other = seeds[random(seeds.length)]!
        const from = random(other.length + 1)
        const part = other.subarray(from, from + 1 + random(128))
        bytes = Buffer.concat([bytes.subarray(0, at), part, bytes.subarray(at)])
      }
    }
  }
  return bytes
}
