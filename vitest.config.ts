import { defineConfig } from 'vitest/config'
import { TestOrder } from './test/support/test-order.ts'

// `unit` runs files side by side, and so does `fuzz`, whose parsers would be a third slower in a process where other files
// had used them before. `e2e-light` boots whole clusters and mostly waits, two files at a time; `e2e` has players or faults
// whose traces are counted, one file at a time.
const light = [
  'drain',
  'hostile-input',
  'mutual-tls',
  'operators-eyes',
  'other-gateway',
  'processes',
  'reconnect',
  'refusals',
  'start-errors',
].map((name) => `test/e2e/${name}.test.ts`)
const cluster = { pool: 'forks', testTimeout: 120_000, hookTimeout: 60_000 } as const

export default defineConfig({
  test: {
    // Clusters that wait for real time to pass: two at once fit on two cores.
    maxWorkers: 2,
    sequence: { sequencer: TestOrder },
    projects: [
      {
        test: {
          name: 'unit',
          include: ['test/**/*.test.ts'],
          exclude: ['test/e2e/**', 'test/encoders/**', 'test/fuzz/**'],
          testTimeout: 20_000,
          // No module has state that changes, so that files can share processes: to start one for each took a fifth of
          // the time of the processors.
          isolate: false,
          // A third of their time they wait: three at once took 213 s on two cores, two 274 s.
          maxWorkers: 3,
          sequence: { groupOrder: 0 },
        },
      },
      {
        test: {
          name: 'fuzz',
          include: ['test/fuzz/*.test.ts'],
          maxWorkers: 3,
          sequence: { groupOrder: 0 },
        },
      },
      {
        test: { ...cluster, name: 'e2e-light', include: light, sequence: { groupOrder: 1 } },
      },
      {
        test: {
          ...cluster,
          name: 'e2e',
          include: ['test/e2e/**/*.test.ts'],
          exclude: light,
          fileParallelism: false,
          sequence: { groupOrder: 2 },
        },
      },
    ],
  },
})
