// What is kept of an answer: for one second, shared by all who get the same, and no longer, since it holds a body.
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { expect, test } from 'vitest'
import { localObject } from '../../../../common/cache/local-object.ts'
import { PreparedAnswers, toHttp1 } from '../../../../edge/delivery/fast/prepared-answers.ts'
import { FakeClock } from '../../../support/fake-clock.ts'
import { targetAt } from '../../../support/upstream-script.ts'

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void

function rig() {
  const clock = new FakeClock()
  const answers = new PreparedAnswers({ name: 'pop-1', clock }, toHttp1)
  const objects = Array.from({ length: 2 }, () =>
    localObject(targetAt(''), { status: 404, body: 'x'.repeat(8_000) }, { now: clock.monotonic() }),
  )
  const formOf = (number: 0 | 1) => {
    const object = objects[number]!
    const opened = { object, outcome: 'hit' as const, freshMs: 9_000 }
    const facts = { coding: undefined, failedStatus: undefined }
    return answers.of({ opened, head: object.head!, ...facts })
  }
  return { clock, formOf }
}

test('is written once in a second, and anew in the next', async () => {
  const { clock, formOf } = rig()
  const first = formOf(0)
  expect(formOf(0)).toBe(first)
  await clock.advance(1_000)
  const second = formOf(0)
  expect(second).not.toBe(first)
  expect(second.bytes.toString()).toContain('age: 1\r\n')
  expect(formOf(0)).toBe(second)
})

test('is let go of in the next second, though its object stays', async () => {
  const { clock, formOf } = rig()
  const kept = new WeakRef(formOf(0))
  await clock.advance(1_000)
  formOf(1)
  // A turn of the loop: what a WeakRef was made or read of stays alive within it.
  await new Promise((resolve) => setImmediate(resolve))
  collect()
  expect(kept.deref()).toBeUndefined()
})
