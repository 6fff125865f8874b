// The checks that `npm test` and `npm run check` share, and how their results are counted.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { runForeground } from './foreground.mjs'
import { modulesDir, readJson, SetupError } from './project.mjs'

/** @typedef {{ passed: number, failed: number, skipped: number }} Tally */

const tsc = join(modulesDir, 'typescript', 'bin', 'tsc')

export const nothing = { passed: 0, failed: 0, skipped: 0 }

export function add(a, b) {
  return {
    passed: a.passed + b.passed,
    failed: a.failed + b.failed,
    skipped: a.skipped + b.skipped,
  }
}

/** Interrupted means over: the checks that would come next must not start. */
async function run(node, args) {
  const code = await runForeground(node, args)
  if (code === 130 || code === 143) throw new SetupError('Interrupted.')
  return code
}

/** Format and lint, then types: each counts as one test. */
export async function runStaticChecks(node) {
  const biome = await runOne('Format and lint (biome)', node, [
    join(modulesDir, '@biomejs', 'biome', 'bin', 'biome'),
    'check',
    '--colors=off',
  ])
  const types = await runOne('Types (tsc)', node, [tsc, '-p', '.'])
  const webTypes = await runOne('Types of the web pages (tsc)', node, [tsc, '-p', 'web'])
  return [biome, types, webTypes].reduce(add)
}

async function runOne(title, node, args) {
  process.stdout.write(`${title} …\n`)
  const code = await run(node, args)
  process.stdout.write(`${title} … ${code === 0 ? 'passed' : 'failed'}\n`)
  return code === 0 ? { ...nothing, passed: 1 } : { ...nothing, failed: 1 }
}

/** Runs vitest with its usual output and returns what its JSON report counted. */
export async function runVitest(node, args) {
  const dir = mkdtempSync(join(tmpdir(), 'nearcast-tests-'))
  const reportFile = join(dir, 'report.json')
  try {
    const code = await run(node, [
      join(modulesDir, 'vitest', 'vitest.mjs'),
      'run',
      '--reporter=default',
      '--reporter=json',
      `--outputFile.json=${reportFile}`,
      ...args,
    ])
    const tally = readTally(reportFile)
    // A crash or an error outside of any test fails the run even where no test did.
    return code !== 0 && tally.failed === 0 ? add(tally, { ...nothing, failed: 1 }) : tally
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
}

function readTally(reportFile) {
  let report
  try {
    report = readJson(reportFile)
  } catch {
    return nothing
  }
  // A file that could not even be loaded has no tests in it, and is one failure.
  const broken = report.testResults.filter(
    (file) =>
      file.status === 'failed' && !file.assertionResults.some(({ status }) => status === 'failed'),
  ).length
  return {
    passed: report.numPassedTests,
    failed: report.numFailedTests + broken,
    skipped: report.numPendingTests + report.numTodoTests,
  }
}

/** Prints the closing line and returns the exit code. */
export function conclude({ passed, failed, skipped }) {
  if (skipped > 0) process.stdout.write(`\n${skipped} skipped: their tools are not here`)
  process.stdout.write(`\n${passed} passed, ${failed} failed\n`)
  return failed === 0 && passed > 0 ? 0 : 1
}
