import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { ProgressLine } from '../../../common/contract/progress.ts'
import { ProgressReader } from '../../../common/relay/progress-reader.ts'

const line: fc.Arbitrary<ProgressLine> = fc.record({
  connection: fc.string(),
  epoch: fc.integer({ min: 1 }),
  liveId: fc.string(),
  takenMs: fc.nat(),
  neededMs: fc.nat(),
})

test('reads every line, however the bytes are cut', () => {
  fc.assert(
    fc.property(fc.array(line), fc.array(fc.nat(500)), (lines, cuts) => {
      const bytes = Buffer.from(lines.map((it) => `${JSON.stringify(it)}\n\n`).join(''))
      const reader = new ProgressReader()
      const at = [...cuts, bytes.length].sort((a, b) => a - b)
      const read = at.flatMap((end, i) => reader.push(bytes.subarray(at[i - 1] ?? 0, end)))
      expect(read).toEqual(lines)
    }),
  )
})

test('passes over what is no progress, and never throws', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (noise) => {
      const reader = new ProgressReader()
      reader.push(noise)
      const good = { connection: 'c', epoch: 1, liveId: 'demo', takenMs: 2, neededMs: 1 }
      expect(reader.push(Buffer.from(`\n${JSON.stringify(good)}\n`)).at(-1)).toEqual(good)
    }),
  )
})

test('keeps no line that grows past all reason', () => {
  const reader = new ProgressReader()
  for (let i = 0; i < 1_000; i++) expect(reader.push(Buffer.alloc(1_000, 0x20))).toEqual([])
  const good = { connection: 'c', epoch: 1, liveId: 'demo', takenMs: 2, neededMs: 1 }
  const text = JSON.stringify(good)
  expect(reader.push(Buffer.from(`${text}\n${text}\n`))).toEqual([good])
})
