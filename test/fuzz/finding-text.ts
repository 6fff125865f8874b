// What is said of an input that broke a rule: enough to feed it again.
import type { FuzzFinding } from './fuzzer.ts'

export function findingText(target: string, seed: number, finding: FuzzFinding): string {
  const { run, fault, bytes } = finding
  return (
    `${target}, run ${run}: ${fault}\n` +
    `  again: npm run fuzz -- --target ${target} --seed ${seed} --first-run ${run} --runs 1\n` +
    `  ${bytes.length} bytes: ${bytes.toString('hex')}\n`
  )
}
