import { Readable } from 'node:stream'
import { expect, test } from 'vitest'
import { parseResumeTarget, ResumeDesk } from '../../../origin/transcoder/resume-desk.ts'
import { FakeClock } from '../../support/fake-clock.ts'

const point = {
  connection: 'connection-of-one-publisher',
  packaging: { nextNumber: 3, takes: 1, endSeconds: 4 },
  clock: { originSeconds: 0 },
  input: { entry: { timestampMs: 0, baseMs: 0, lastMs: {} } },
}
const target = { liveId: 'demo', epoch: 2 }

function told(desk: ResumeDesk, text: string): Promise<boolean> {
  return desk.receive(target, Readable.from([Buffer.from(text)]) as never)
}

test('a resume point is there once, for its epoch and its connection', async () => {
  using desk = new ResumeDesk(new FakeClock())
  expect(await told(desk, JSON.stringify(point))).toBe(true)
  expect(desk.take('demo', 3, point.connection)).toBeUndefined()
  expect(desk.take('other', 2, point.connection)).toBeUndefined()
  expect(desk.take('demo', 2, point.connection)).toEqual(point)
  expect(desk.take('demo', 2, point.connection)).toBeUndefined()
  await told(desk, JSON.stringify(point))
  expect(desk.take('demo', 2, 'connection-of-another-one')).toBeUndefined()
})

test('one that nobody comes for is forgotten', async () => {
  const clock = new FakeClock()
  using desk = new ResumeDesk(clock)
  await told(desk, JSON.stringify(point))
  await clock.advance(30_000)
  expect(desk.take('demo', 2, point.connection)).toBeUndefined()
})

test.each([
  ['no JSON', '{'],
  ['something else', '{"connection":"x"}'],
  ['too much', JSON.stringify({ ...point, connection: 'x'.repeat(5_000_000) })],
])('%s is no resume point', async (_, text) => {
  using desk = new ResumeDesk(new FakeClock())
  expect(await told(desk, text)).toBe(false)
})

test.each([
  ['/internal/v1/broadcasts/demo/resume-point?epoch=7', { liveId: 'demo', epoch: 7 }],
  ['/internal/v1/broadcasts/demo/resume-point?epoch=0', undefined],
  ['/internal/v1/broadcasts/demo/resume-point', undefined],
  ['/internal/v1/broadcasts/../resume-point?epoch=1', undefined],
])('%s', (path, expected) => {
  expect(parseResumeTarget(path)).toEqual(expected)
})
