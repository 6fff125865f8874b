import { EventEmitter } from 'node:events'
import { expect, test } from 'vitest'
import type { ProgressLine } from '../../../common/contract/progress.ts'
import type { ProgressAnswer } from '../../../common/relay/progress-lines.ts'
import { ProgressFeed } from '../../../origin/transcoder/progress-feed.ts'
import { FakeClock } from '../../support/fake-clock.ts'

class Answer extends EventEmitter {
  text = ''
  isEnded = false
  writableNeedDrain = false
  writeHead(): this {
    return this
  }
  write(text: string): boolean {
    this.text += text
    return true
  }
  end(): this {
    this.isEnded = true
    this.emit('close')
    return this
  }
}

const answer = () => new Answer() as Answer & ProgressAnswer
const line: ProgressLine = {
  ...{ connection: 'c', epoch: 2, liveId: 'demo', takenMs: 40, neededMs: 0 },
}
const text = `${JSON.stringify(line)}\n`

function feed(...jobs: { progress: ProgressLine | undefined }[]) {
  const clock = new FakeClock()
  return { clock, jobs, feed: new ProgressFeed({ clock, jobs: () => jobs }) }
}

test('each 500 ms says a line for each connection that is live', async () => {
  const { clock, feed: it } = feed({ progress: line }, { progress: undefined })
  const asking = answer()
  it.serve(asking, new AbortController().signal)
  expect(asking.text).toBe(text)
  await clock.advance(1_000)
  expect(asking.text).toBe(text.repeat(3))
})

test('says that it is there where nothing is live', async () => {
  const { clock, feed: it } = feed()
  const asking = answer()
  it.serve(asking, new AbortController().signal)
  await clock.advance(500)
  expect(asking.text).toBe('\n\n')
})

test('piles nothing up for one who does not read', async () => {
  const { clock, feed: it } = feed({ progress: line })
  const asking = answer()
  it.serve(asking, new AbortController().signal)
  asking.writableNeedDrain = true
  await clock.advance(60_000)
  expect(asking.text).toBe(text)
})

test('ends its answers with the server, and says nothing to who has left', async () => {
  const { clock, feed: it } = feed({ progress: line })
  const [stopped, left] = [answer(), answer()]
  const stop = new AbortController()
  it.serve(stopped, stop.signal)
  it.serve(left, new AbortController().signal)
  left.emit('close')
  stop.abort()
  expect([stopped.isEnded, left.isEnded]).toEqual([true, false])
  await clock.advance(5_000)
  expect([stopped.text, left.text]).toEqual([text, text])
})
