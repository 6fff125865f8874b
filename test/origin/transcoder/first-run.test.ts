import { describe, expect, test } from 'vitest'
import { type DatedStep, FirstRun, holdBackMs } from '../../../origin/transcoder/first-run.ts'
import type { InputStep, RunReason } from '../../../origin/transcoder/input-reader.ts'

const run = (reason: RunReason): InputStep => ({
  kind: 'run',
  tracks: { video: undefined, audio: undefined },
  claimedVideoBitsPerSecond: 0,
  reason,
  sinceLastMs: undefined,
})
const sample = (timestampMs: number): InputStep => ({
  kind: 'sample',
  sample: {
    kind: 'video',
    timestampMs,
    publisherMs: 0,
    isKeyframe: true,
    payload: Buffer.alloc(0),
  },
})

/** `R` and the age of a run, `s` and the time of a sample. */
function told(steps: readonly DatedStep[]): string {
  return steps
    .map((step) => {
      if (step.kind === 'run') return `R${step.ageMs}`
      return step.kind === 'sample' ? `s${step.sample.timestampMs}` : '!'
    })
    .join(' ')
}

describe('the first run', () => {
  test('is held back for a moment, and is as old as it was held', () => {
    const first = new FirstRun()
    expect(first.push(run('first'), 100)).toEqual([])
    expect(first.push(sample(1_000), 100)).toEqual([])
    expect(first.push(sample(1_040), 140)).toEqual([])
    expect(first.tick(100 + holdBackMs - 1)).toEqual([])
    expect(told(first.tick(100 + holdBackMs))).toBe(`R${holdBackMs} s1000 s1040`)
    expect(told(first.push(sample(1_400), 500))).toBe('s1400')
  })

  test('whose samples come all at once is as old as they are long', () => {
    const first = new FirstRun()
    first.push(run('first'), 100)
    for (let ms = 1_000; ms <= 2_200; ms += 40) first.push(sample(ms), 102)
    expect(told(first.push(sample(2_240), 450))).toMatch(/^R1548 s1000 .* s2240$/)
  })

  test('of a file that is sent as fast as it goes is not older than a backlog can be', () => {
    const first = new FirstRun()
    first.push(run('first'), 0)
    for (let ms = 0; ms <= 60_000; ms += 40) first.push(sample(ms), 0)
    expect(told(first.tick(holdBackMs))).toMatch(/^R5300 /)
  })

  test('comes before whatever ends it', () => {
    const first = new FirstRun()
    first.push(run('first'), 0)
    first.push(sample(0), 0)
    expect(told(first.push(run('headers'), 80))).toBe('R80 s0 R0')
    expect(first.tick(5_000)).toEqual([])
  })
})

test('what is held back is not lost with the connection', () => {
  const first = new FirstRun()
  first.push(run('first'), 0)
  first.push(sample(0), 0)
  expect(told(first.flush(50))).toBe('R50 s0')
})

test('later runs of a connection are not held back', () => {
  const first = new FirstRun()
  expect(told(first.push(run('jump'), 100))).toBe('R0')
  expect(told(first.push(sample(5), 100))).toBe('s5')
})

test('a replay is as old as its relay says, and nothing of it is held back', () => {
  const first = new FirstRun()
  expect(first.push(run('first'), 10_000, 4_000)).toEqual([])
  expect(told(first.push(sample(0), 10_000, 4_000))).toBe('R6000 s0')
  expect(told(first.push(run('headers'), 10_010, 5_000))).toBe('R5010')
})
