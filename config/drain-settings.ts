// The settings of an edge on how it ends what it has begun.
import { z } from 'zod'

export const drain = z
  .strictObject({
    publisherLimitMs: z
      .int()
      .nonnegative()
      .default(300_000)
      .describe(
        'After a hand-over, publishers stay with the old process for so long; then they are let go, each after a keyframe, at most 5 % of them a second',
      ),
    viewerLimitMs: z
      .int()
      .nonnegative()
      .default(30_000)
      .describe('After a hand-over, answers that have begun may take so long'),
    stopLimitMs: z
      .int()
      .nonnegative()
      .default(5_000)
      .describe(
        'A stop without a hand-over lets publishers go at the same pace for so long, then the rest at once',
      ),
  })
  .prefault({})
  .describe('How an edge ends what it has begun')
