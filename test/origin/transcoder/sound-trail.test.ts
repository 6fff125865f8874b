import { expect, test } from 'vitest'
import { SoundTrail } from '../../../origin/transcoder/sound-trail.ts'

test('sounds of a clock that stands still do not gather without end', () => {
  const trail = new SoundTrail()
  for (let i = 0; i < 10_000; i++) trail.take(0, 0)
  const { others, again } = trail.enter(0, 0)
  expect(others + again).toBeLessThanOrEqual(256)
})
