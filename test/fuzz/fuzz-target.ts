// What the fuzzer throws damaged bytes at: a parser with its seeds and the rules that hold whatever it is fed.

export interface FuzzTarget {
  name: string
  seeds: readonly Buffer[]
  /** The rule that was broken, as a sentence; undefined where all hold. `random` says where bytes are split. */
  check(bytes: Buffer, random: (limit: number) => number): string | undefined
}

/** The same bytes in one to four pieces; some may be empty. */
export function pieces(bytes: Buffer, random: (limit: number) => number): Buffer[] {
  const cuts = Array.from({ length: random(4) }, () => random(bytes.length + 1))
  const edges = [0, ...cuts.sort((a, b) => a - b), bytes.length]
  return edges.slice(1).map((end, i) => bytes.subarray(edges[i], end))
}
