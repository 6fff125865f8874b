// A gateway that is killed while it relays a publish: the publisher does not notice, and neither does the transcoder's
// packager: the same take goes on. Then the coordinator is away: who is known can publish, and it takes over what runs.
import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Encoder } from '../support/encoder.ts'
import { FrozenTree } from '../support/frozen-tree.ts'
import { NumberedPublisher } from '../support/numbered-publisher.ts'
import { descendantsOf, isEncoder } from '../support/processes.ts'
import type { SequenceReport } from '../support/sequence-audit.ts'
import { type StreamFacts, TakeoverStage } from '../support/takeover-stage.ts'
import { until } from '../support/until.ts'

const resumeLimitMs = 10_000

let stage: TakeoverStage
let before: StreamFacts
let after: StreamFacts
let encodersBefore: number[]
let encodersAfter: number[]
let portBefore: number | undefined
let report: SequenceReport
/** Of a channel that is not live yet. */
let otherKey: string

async function encoders(): Promise<number[]> {
  const { pid } = await stage.holder('transcoders')
  return descendantsOf(pid)
    .filter(isEncoder)
    .map((it) => it.pid)
}

beforeAll(async () => {
  stage = await TakeoverStage.start({ gateways: 2, pops: 2, size: '640x480' })
  const other = { liveId: 'other' }
  otherKey = (await stage.cluster.api<{ streamKey: string }>('POST', '/api/v1/channels', other))
    .streamKey
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

describe('while the coordinator is away', () => {
  let refused: string
  let other: NumberedPublisher
  let otherBefore: string[]
  let otherAfter: string[]

  const publish = (streamKey: string) => {
    const { edges, caFile } = stage.cluster.facts
    const ca = readFileSync(caFile)
    return NumberedPublisher.start({ servers: [edges[0]!.rtmps], streamKey, ca })
  }

  /** Names of the takes that are listed at the other POP. */
  async function takesOfOther(): Promise<string[]> {
    const media = `${stage.cluster.facts.edges[1]!.http}/live/other`
    const text = await until('a playlist of the other channel', async () => {
      const answer = await fetch(`${media}/audio.m3u8`)
      return answer.ok && (await answer.text())
    })
    return [
      ...new Set([...text.matchAll(/^([a-z0-9]+-\d+)\/audio\/\d+\.m4s/gm)].map(([, it]) => it!)),
    ]
  }

  beforeAll(async () => {
    before = await stage.stream()
    await stage.watchAnew()
    await stage.segments(1)
    const { coordinator } = stage.cluster.facts
    FrozenTree.freeze(coordinator.pid)
    const starts = stage.publisher.startedAtMs.length
    const struckAtMs = performance.now()
    stage.publisher.comeBack()
    const { edges, caFile } = stage.cluster.facts
    await using unknown = new Encoder({
      server: edges[0]!.rtmps,
      streamKey: `nc_${'x'.repeat(32)}`,
      caFile,
    })
    other = await publish(otherKey)
    await unknown.exited
    refused = unknown.output
    await until('the publisher to be back', () => stage.publisher.startedAtMs.length > starts)
    await stage.mediaSince(struckAtMs, resumeLimitMs)
    otherBefore = await until('a take', async () => {
      const takes = await takesOfOther()
      return takes.length > 0 && takes
    })
    process.kill(coordinator.pid, 'SIGKILL')
    await until('the other stream to be known', async () => {
      const streams = await stage.cluster
        .api<{ streams: { liveId: string; state: string }[] }>('GET', '/api/v1/streams')
        .catch(() => ({ streams: [] }))
      return streams.streams.filter(({ state }) => state === 'live').length === 2
    })
    await stage.segments(1)
    otherAfter = await takesOfOther()
    after = await stage.stream()
    report = await stage.audit.stop(stage.publisher.sent)
  }, 120_000)

  afterAll(() => other?.[Symbol.asyncDispose]())

  test('a publisher who comes back goes on in the same broadcast, with the same lease', () => {
    expect(after).toMatchObject({
      ...{ broadcastId: before.broadcastId, epoch: before.epoch },
      transcoder: { id: before.transcoder.id },
    })
    for (const { discontinuities, skipped } of report.playlists) {
      expect([discontinuities, skipped]).toEqual([1, []])
    }
    expect(report.faults).toEqual([])
  })

  test('another one who is known can begin, and is taken over in the same take', async () => {
    expect(otherBefore).toHaveLength(1)
    expect(otherAfter).toEqual(otherBefore)
    const stream = await stage.cluster.api<StreamFacts>('GET', '/api/v1/streams/other')
    expect(stream.epoch).toBe(1)
    expect(other.disconnects).toBe(0)
  })

  test('who is not known is told to try again', () => {
    expect(refused).toMatch(/Try again in a few seconds\. \(coordinator-away\)/)
  })
})
