// The order in which test files start: those that wait for real media longest go first, so that the many that only
// compute run beside them and none of them is left alone at the end. Else as vitest does: what failed, then what took
// longest, then what is largest.
import { join, relative } from 'node:path'
import { BaseSequencer, type TestSpecification } from 'vitest/node'

/** From the longest down; what is not among them is over in a few seconds. */
const longest = [
  'web/watch/watch-page',
  'origin/transcoder/transcoder-node',
  'origin/transcoder/encoder-failures',
  'origin/transcoder/resume',
  'origin/transcoder/fault-inputs',
  'origin/transcoder/reconnect',
  'origin/transcoder/republish',
  'bin/publish',
  'origin/transcoder/coordinator-away',
  'web/console/console-page',
  'bin/coordinator-commands',
  'bin/nearcast',
  'origin/transcoder/standstill',
  'origin/transcoder/frame-identity',
  'origin/transcoder/rtmp-receiver',
  'origin/transcoder/live-ladder',
  'origin/transcoder/encoder-session',
  'fuzz/fuzzer',
]

const testDir = join(import.meta.dirname, '..')

export class TestOrder extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files)
    const rank = new Map(longest.map((name, at) => [`${name}.test.ts`, at - longest.length]))
    const rankOf = ({ moduleId }: TestSpecification) => rank.get(relative(testDir, moduleId)) ?? 0
    return sorted.toSorted((a, b) => rankOf(a) - rankOf(b))
  }
}
