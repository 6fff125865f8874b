// A gateway that is killed while it relays a publish: the publisher does not notice, and neither does the transcoder's
// packager: the same take goes on.
import { afterAll, beforeAll, expect, test } from 'vitest'
import { descendantsOf, isEncoder } from '../support/processes.ts'
import type { SequenceReport } from '../support/sequence-audit.ts'
import { type StreamFacts, TakeoverStage } from '../support/takeover-stage.ts'

const resumeLimitMs = 10_000

let stage: TakeoverStage
let before: StreamFacts
let after: StreamFacts
let encodersBefore: number[]
let encodersAfter: number[]
let portBefore: number | undefined
let report: SequenceReport

async function encoders(): Promise<number[]> {
  const { pid } = await stage.holder('transcoders')
  return descendantsOf(pid)
    .filter(isEncoder)
    .map((it) => it.pid)
}

beforeAll(async () => {
  stage = await TakeoverStage.start({ gateways: 2, pops: 2, size: '640x480' })
  await stage.segments(2)
  before = await stage.stream()
  encodersBefore = await encoders()
  portBefore = stage.publisher.localPort
  const { pid } = await stage.holder('gateways')
  const struckAtMs = performance.now()
  process.kill(pid, 'SIGKILL')
  await stage.mediaSince(struckAtMs, resumeLimitMs)
  await stage.segments(2)
  after = await stage.stream()
  encodersAfter = await encoders()
  report = await stage.audit.stop(stage.publisher.sent)
}, 120_000)

afterAll(() => stage?.[Symbol.asyncDispose]())

test('the publisher keeps its connection and hears nothing', () => {
  expect(stage.publisher.disconnects).toBe(0)
  expect(stage.publisher.localPort).toBe(portBefore)
  expect(stage.publisher.statuses.filter(({ level }) => level === 'error')).toEqual([])
})

test('the lease stays as it was, by way of the other gateway', () => {
  const { gateway, ...lease } = after
  expect(gateway.id).not.toBe(before.gateway.id)
  expect(lease).toMatchObject({
    broadcastId: before.broadcastId,
    epoch: before.epoch,
    transcoder: { id: before.transcoder.id },
  })
})

test('ffmpeg is not started again', () => {
  expect(encodersBefore.length).toBeGreaterThan(0)
  expect(encodersAfter).toEqual(encodersBefore)
})

test('the same take goes on without a discontinuity, a gap or a skipped number', () => {
  for (const { name, takes, discontinuities, gaps, skipped } of report.playlists) {
    expect({ name, discontinuities, gaps, skipped }).toEqual({
      name,
      discontinuities: 0,
      gaps: 0,
      skipped: [],
    })
    expect(takes).toHaveLength(1)
  }
  expect(report.faults).toEqual([])
})

test('no frame is lost, and none comes twice, out of order or changed', () => {
  const clean = { lost: [], doubled: [], disordered: [], changed: [] }
  expect(report.video).toMatchObject(clean)
  expect(report.audio).toMatchObject(clean)
})
