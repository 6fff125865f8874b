// The fuzzer in short, over every target, and that it finds what there is to find.
import { expect, test } from 'vitest'
import type { FuzzTarget } from './fuzz-target.ts'
import { fuzz, fuzzTargets } from './fuzzer.ts'

test.each(fuzzTargets.map((target) => [target.name, target] as const))(
  '%s keeps its rules over 20 000 damaged inputs',
  (_, target) => {
    const { runs, findings } = fuzz(target, { runs: 20_000, seed: 1 })
    expect(findings.map(({ run, fault }) => `run ${run}: ${fault}`)).toEqual([])
    expect(runs).toBe(20_000)
  },
)

const broken: FuzzTarget = {
  name: 'broken',
  seeds: [Buffer.alloc(64, 0x20)],
  check(bytes) {
    if (bytes[0] === 0xff) throw new Error('never throw')
    return bytes.length > 200 ? 'grows' : undefined
  },
}

test('what throws and what breaks a rule is found, and found again by its run', () => {
  const { findings } = fuzz(broken, { runs: 100_000, seed: 3 })
  expect(findings.length).toBe(10)
  expect(findings.some(({ fault }) => fault.startsWith('throws Error: never throw'))).toBe(true)
  const last = findings.at(-1)!
  const again = fuzz(broken, { runs: 1, seed: 3, firstRun: last.run })
  expect(again.findings.map(({ bytes }) => bytes)).toEqual([last.bytes])
})

test('another seed gives other damage', () => {
  const bytesOf = (seed: number) => {
    const seen: string[] = []
    const target: FuzzTarget = {
      ...broken,
      check: (bytes) => void seen.push(bytes.toString('hex')) as undefined,
    }
    fuzz(target, { runs: 20, seed })
    return seen
  }
  expect(bytesOf(1)).toEqual(bytesOf(1))
  expect(bytesOf(1)).not.toEqual(bytesOf(2))
})
