import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { MediaMessage } from '../../../media/rtmp/message.ts'
import { TakenMarks } from '../../../origin/transcoder/taken-marks.ts'

interface Named extends MediaMessage {
  id: string
}

const frame = (kind: 'audio' | 'video', timestampMs: number, id = `${timestampMs}`): Named => ({
  kind,
  timestampMs: timestampMs >>> 0,
  payload: kind === 'video' ? Buffer.from([0x27, 1, 0, 0, 0, 7]) : Buffer.from([0xaf, 1, 7]),
  id,
})
const header = (id: string): Named => ({
  ...{ kind: 'video', timestampMs: 0, id },
  payload: Buffer.from([0x17, 0, 0, 0, 0, 7]),
})

function take(marks: TakenMarks, messages: readonly Named[]): string[] {
  return messages.flatMap((it) => marks.push(it).messages.map((taken) => (taken as Named).id))
}

describe('what comes again', () => {
  test('is left out up to the last message that was taken, track by track', () => {
    const marks = new TakenMarks()
    take(marks, [frame('video', 0), frame('audio', 10), frame('video', 40), frame('audio', 33)])
    marks.resume()
    const replay = [frame('video', 0), frame('audio', 10), frame('video', 40)]
    expect(take(marks, [...replay, frame('audio', 33), frame('audio', 56, 'a')])).toEqual(['a'])
    expect(take(marks, [frame('video', 80, 'v')])).toEqual(['v'])
  })

  test('is taken where only the first of two messages of one time had been', () => {
    const marks = new TakenMarks()
    take(marks, [frame('video', 0), frame('video', 40, 'one')])
    marks.resume()
    const replay = [frame('video', 0), frame('video', 40, 'one'), frame('video', 40, 'two')]
    expect(take(marks, replay)).toEqual(['two'])
  })

  test('brings the header that was in force then only where media follows it', () => {
    const marks = new TakenMarks()
    take(marks, [header('old'), frame('video', 0), header('new'), frame('video', 40)])
    marks.resume()
    const replay = [header('old'), frame('video', 0), header('new'), frame('video', 40)]
    expect(take(marks, [...replay, frame('video', 80, 'v')])).toEqual(['new', 'v'])
  })

  test('is no replay where the publisher counts anew', () => {
    const marks = new TakenMarks()
    take(marks, [frame('video', 500_000)])
    marks.resume()
    expect(take(marks, [frame('video', 0, 'v')])).toEqual(['v'])
    expect(marks.newestMs).toBe(0)
  })
})

test('knows the newest time of both tracks, also where 32 bits wrap', () => {
  const marks = new TakenMarks()
  expect(marks.newestMs).toBeUndefined()
  take(marks, [frame('video', 2 ** 32 - 20), frame('audio', 2 ** 32 - 30)])
  expect([marks.firstMs, marks.newestMs]).toEqual([2 ** 32 - 20, 2 ** 32 - 20])
  take(marks, [frame('audio', 2 ** 32 + 5)])
  expect(marks.newestMs).toBe(5)
})

const step = fc.record({
  kind: fc.constantFrom('audio' as const, 'video' as const),
  // Encoders step back a little, and give two frames one time.
  stepMs: fc.integer({ min: -40, max: 120 }),
})

test('whatever is cut off and sent again from before the cut, each message is taken once and in order', () => {
  fc.assert(
    fc.property(
      fc.array(step, { minLength: 1, maxLength: 60 }),
      fc.array(fc.record({ cut: fc.nat(60) }), { maxLength: 4 }),
      fc.integer({ min: 0, max: 2 ** 32 - 1 }),
      (steps, losses, startMs) => {
        let nowMs = startMs
        const sent = steps.map(({ kind, stepMs }, at) => {
          nowMs += stepMs
          return frame(kind, nowMs, `${kind}${at}`)
        })
        const marks = new TakenMarks()
        const taken: string[] = []
        let reached = 0
        for (const { cut } of losses) {
          const until = Math.min(sent.length, reached + cut)
          taken.push(...take(marks, sent.slice(0, until)))
          reached = Math.max(reached, until)
          marks.resume()
        }
        taken.push(...take(marks, sent))
        for (const kind of ['audio', 'video']) {
          const ids = sent.filter((it) => it.kind === kind).map((it) => it.id)
          expect(taken.filter((it) => it.startsWith(kind))).toEqual(ids)
        }
      },
    ),
  )
})
