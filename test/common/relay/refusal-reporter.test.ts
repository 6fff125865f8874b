import { afterEach, beforeEach, expect, test } from 'vitest'
import { refusal } from '../../../common/contract/refusal.ts'
import { type RefusalReport, refusalReportSchema } from '../../../common/contract/refusal-report.ts'
import { RefusalReporter } from '../../../common/relay/refusal-reporter.ts'
import { digestOfKey } from '../../../common/relay/stream-key.ts'
import { FakeClock } from '../../support/fake-clock.ts'

let clock: FakeClock
let reports: RefusalReport[]
let isHeard: boolean
let meanwhile: () => void
let reporter: RefusalReporter

beforeEach(() => {
  clock = new FakeClock()
  reports = []
  isHeard = true
  meanwhile = () => {}
  reporter = new RefusalReporter({
    clock,
    report: async (report) => {
      reports.push(refusalReportSchema.parse(report))
      meanwhile()
      return isHeard
    },
  })
})

afterEach(() => reporter[Symbol.dispose]())

const [one, two] = [digestOfKey('one'), digestOfKey('two')]

test('gathers for a second, counts by key and reason, and keeps the last sentence', async () => {
  reporter.note(one, refusal('node-full'))
  await clock.advance(400)
  reporter.note(one, refusal('node-full', 'Still full.'))
  reporter.note(two, refusal('node-full'))
  reporter.note(one, refusal('codec-unsupported'))
  await clock.advance(600)
  expect(reports).toEqual([
    {
      refusals: [
        { keyDigest: one, code: 'node-full', message: 'Still full.', count: 2, ageMs: 600 },
        expect.objectContaining({ keyDigest: two, count: 1 }),
        expect.objectContaining({ keyDigest: one, code: 'codec-unsupported', count: 1 }),
      ],
    },
  ])
  await clock.advance(60_000)
  expect(reports).toHaveLength(1)
})

test('tells again what was not heard, with what has come since', async () => {
  isHeard = false
  reporter.note(one, refusal('node-full'))
  await clock.advance(1_000)
  reporter.note(one, refusal('node-full', 'Later.'))
  isHeard = true
  await clock.advance(5_000)
  expect(reports[1]?.refusals).toMatchObject([{ count: 2, message: 'Later.', ageMs: 5_000 }])
})

test('leaves nothing to run when it goes while a report is under way', async () => {
  isHeard = false
  meanwhile = () => reporter[Symbol.dispose]()
  reporter.note(one, refusal('node-full'))
  await clock.advance(1_000)
  expect(reports).toHaveLength(1)
  reporter.note(one, refusal('maintenance'))
  expect(clock.pending).toBe(0)
})

test('is silent about what is about no channel', async () => {
  reporter.note('', refusal('too-slow'))
  reporter.note(one, refusal('key-unknown'))
  reporter.note(one, refusal('bandwidth-test-over'))
  await clock.advance(60_000)
  expect(reports).toEqual([])
})

test('a flood of keys makes one report of bounded size, and long sentences are cut', async () => {
  for (let i = 0; i < 1_000; i++) {
    reporter.note(digestOfKey(`${i}`), refusal('node-full', 'x'.repeat(1_000)))
  }
  await clock.advance(1_000)
  expect(reports.map(({ refusals }) => refusals.length)).toEqual([200])
})
