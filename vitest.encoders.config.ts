import { defineConfig } from 'vitest/config'

// Opt-in: real encoders against a real cluster, one at a time. What is not installed is skipped by name.
export default defineConfig({
  test: {
    name: 'encoders',
    include: ['test/encoders/**/*.test.ts'],
    pool: 'forks',
    fileParallelism: false,
    testTimeout: 120_000,
    hookTimeout: 90_000,
  },
})
