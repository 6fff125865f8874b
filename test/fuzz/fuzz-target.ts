// What the fuzzer throws damaged bytes at: a parser with its seeds and the rules that hold whatever it is fed.

export interface FuzzTarget {
  name: string
  seeds: readonly Buffer[]
  /**
   * The rule that was broken, as a sentence; undefined where all hold. `random` says where bytes are split. The bytes
   * are there for this one call.
   */
  check(bytes: Buffer, random: (limit: number) => number): string | undefined
}

/** The same bytes in two to four pieces; some may be empty. */
export function pieces(bytes: Buffer, random: (limit: number) => number): Buffer[] {
  const parts: Buffer[] = []
  let start = 0
  for (let cuts = 1 + random(3); cuts > 0; cuts--) {
    const end = start + random(bytes.length - start + 1)
    parts.push(bytes.subarray(start, end))
    start = end
  }
  parts.push(bytes.subarray(start))
  return parts
}
