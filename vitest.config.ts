import { defineConfig } from 'vitest/config'
import { TestOrder } from './test/support/test-order.ts'

// Two projects: `unit` runs files side by side; `e2e` boots whole clusters, one file at a time.
export default defineConfig({
  test: {
    // Many files wait for real time to pass, so that two at once fit on two cores.
    maxWorkers: 2,
    sequence: { sequencer: TestOrder },
    projects: [
      {
        test: {
          name: 'unit',
          include: ['test/**/*.test.ts'],
          exclude: ['test/e2e/**', 'test/encoders/**'],
          testTimeout: 20_000,
          sequence: { groupOrder: 0 },
        },
      },
      {
        test: {
          name: 'e2e',
          include: ['test/e2e/**/*.test.ts'],
          pool: 'forks',
          fileParallelism: false,
          testTimeout: 120_000,
          hookTimeout: 60_000,
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
})
