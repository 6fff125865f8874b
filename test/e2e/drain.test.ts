// A transcoder that is taken out of service while it is published to: its streams go elsewhere one by one, and their
// publishers do not notice.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { SequenceReport } from '../support/sequence-audit.ts'
import { type StreamFacts, TakeoverStage } from '../support/takeover-stage.ts'

const program = fileURLToPath(new URL('../../bin/nearcast.ts', import.meta.url))
const resumeLimitMs = 10_000

let stage: TakeoverStage
let before: StreamFacts
let after: StreamFacts
let portBefore: number | undefined
let drained: { status: number | null; output: string }
let report: SequenceReport

async function drain(node: string): Promise<typeof drained> {
  const { url, adminToken } = stage.cluster.facts.coordinator
  const child = spawn(
    process.execPath,
    [program, 'drain', node, '--url', url, '--token', adminToken, '--timeout', '60'],
    { stdio: ['ignore', 'pipe', 'pipe'] },
  )
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (bytes: Buffer) => {
      output += bytes.toString()
    })
  }
  const [status] = (await once(child, 'close')) as [number | null]
  return { status, output }
}

beforeAll(async () => {
  stage = await TakeoverStage.start({ transcoders: 2, pops: 2 })
  await stage.segments(2)
  before = await stage.stream()
  portBefore = stage.publisher.localPort
  const startedAtMs = performance.now()
  drained = await drain(before.transcoder.id)
  await stage.mediaSince(startedAtMs, resumeLimitMs)
  await stage.segments(2)
  after = await stage.stream()
  report = await stage.audit.stop(stage.publisher.sent)
}, 120_000)

afterAll(() => stage?.[Symbol.asyncDispose]())

test('the command ends when nothing is left', () => {
  expect(drained).toMatchObject({ status: 0 })
  expect(drained.output).toContain(before.transcoder.id)
})

test('the same broadcast is at the other transcoder', () => {
  expect(after.transcoder.id).not.toBe(before.transcoder.id)
  expect(after.broadcastId).toBe(before.broadcastId)
})

test('the publisher keeps its connection and hears nothing', () => {
  expect(stage.publisher.disconnects).toBe(0)
  expect(stage.publisher.localPort).toBe(portBefore)
  expect(stage.publisher.statuses.filter(({ level }) => level === 'error')).toEqual([])
})

test('no number is skipped, nothing that was listed changes, no picture is lost', () => {
  for (const { name, skipped, discontinuities } of report.playlists) {
    expect({ name, skipped }).toEqual({ name, skipped: [] })
    expect(discontinuities, name).toBeLessThanOrEqual(1)
  }
  expect(report.faults).toEqual([])
  expect(report.video.lost).toEqual([])
})
