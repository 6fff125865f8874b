// The fuzzer over every target, and that it finds what there is to find.
import { setImmediate } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { findingText } from './finding-text.ts'
import type { FuzzTarget } from './fuzz-target.ts'
import { fuzz, fuzzTargets } from './fuzzer.ts'
import { plantedFaults } from './planted-faults.ts'

const million = 1_000_000
/** Behind the parsers that the other targets feed alone, and many times as dear. */
const sessionRuns = 250_000
const seed = 1
/** Between two of them vitest hears that the file is alive. */
const runsAtATime = 50_000

test.each(
  fuzzTargets.map((it) => [it.name, it.name === 'session' ? sessionRuns : million, it] as const),
)(
  '%s keeps its rules over %i damaged inputs',
  async (name, runs, target) => {
    let done = 0
    while (done < runs) {
      const report = fuzz(target, { runs: runsAtATime, seed, firstRun: done, enoughFindings: 3 })
      expect(report.findings.map((finding) => findingText(name, seed, finding))).toEqual([])
      done += report.runs
      await setImmediate()
    }
    expect(done).toBe(runs)
  },
  300_000,
)

test.each(plantedFaults)('%s: found, printed, and found again by its run', (_, target, fault) => {
  const { findings } = fuzz(target, { runs: million, seed, enoughFindings: 1 })
  const [found] = findings
  expect(found?.fault).toContain(fault)
  const text = findingText(target.name, seed, found!)
  expect(text).toContain(fault)
  expect(text).toContain(found!.bytes.toString('hex'))
  expect(text).toContain(
    `--target ${target.name} --seed ${seed} --first-run ${found!.run} --runs 1`,
  )
  const again = fuzz(target, { runs: 1, seed, firstRun: found!.run })
  expect(again.findings).toMatchObject([{ run: found!.run, bytes: found!.bytes }])
})

const broken: FuzzTarget = {
  name: 'broken',
  seeds: [Buffer.alloc(64, 0x20)],
  check(bytes) {
    if (bytes[0] === 0xff) throw new Error('never throw')
    return bytes.length > 200 ? 'grows' : undefined
  },
}

test('what throws and what breaks a rule are findings alike, and ten are enough', () => {
  const { findings } = fuzz(broken, { runs: 100_000, seed: 3 })
  expect(findings.length).toBe(10)
  expect(findings.some(({ fault }) => fault.startsWith('throws Error: never throw'))).toBe(true)
  expect(findings.some(({ fault }) => fault === 'grows')).toBe(true)
})

test('another seed gives other damage', () => {
  const bytesOf = (from: number) => {
    const seen: string[] = []
    const target: FuzzTarget = {
      ...broken,
      check: (bytes) => void seen.push(bytes.toString('hex')) as undefined,
    }
    fuzz(target, { runs: 20, seed: from })
    return seen
  }
  expect(bytesOf(1)).toEqual(bytesOf(1))
  expect(bytesOf(1)).not.toEqual(bytesOf(2))
})
