// H50: whatever upstream answers, a viewer gets a whole object, a refusal or a broken connection, never something in between;
// nothing doubtful is stored, and nothing left over on a connection becomes the answer to the next question.
import { afterEach, beforeEach, expect, it } from 'vitest'
import { type UpstreamCase, upstreamBytes, upstreamCases } from '../../corpus/http.ts'
import { FakeClock, turnFor } from '../../support/fake-clock.ts'
import { parseAnswers, RawClient } from '../../support/raw-client.ts'
import { echoPath } from '../../support/raw-origin.ts'
import { StrictEdge } from './support.ts'

const path = '/live/demo/abcdef12-1/720p/1.m4s'
const clock = new FakeClock()
let edge: StrictEdge

beforeEach(async () => {
  edge = await StrictEdge.start({ delivery: { clock } })
})

afterEach(async () => {
  await edge?.[Symbol.asyncDispose]()
})

interface Seen {
  kind: 'served' | 'refused' | 'broken'
  body: string
}

async function ask(target: string): Promise<Seen> {
  using client = await RawClient.dial(edge.plain)
  await client.send(Buffer.from(`GET ${target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`))
  // What fails is asked once more, after a moment.
  const bytes = await turnFor(clock, client.toEnd())
  try {
    const [answer] = parseAnswers(bytes, () => false)
    if (!answer) return { kind: 'broken', body: '' }
    const isWhole = 'content-length' in answer.headers
    if (answer.headers['transfer-encoding'] === 'chunked') {
      const chunks = /^([0-9a-f]+)\r\n([\s\S]*?)\r\n0\r\n\r\n$/.exec(answer.body)
      return { kind: chunks ? 'served' : 'broken', body: chunks?.[2] ?? '' }
    }
    if (!isWhole) return { kind: 'broken', body: answer.body }
    return { kind: answer.status >= 500 ? 'refused' : 'served', body: answer.body }
  } catch {
    return { kind: 'broken', body: '' }
  }
}

function lie(one: UpstreamCase): void {
  const bytes = upstreamBytes(one)
  edge.origin.respond = (_request, socket) => {
    if (one.ends) socket.end(bytes)
    else socket.write(bytes)
    if (one.later !== undefined) setImmediate(() => setImmediate(() => socket.write(one.later!)))
  }
}

it.each(upstreamCases())('$name: $outcome', async (one) => {
  lie(one)
  const seen = await ask(path)
  if (one.outcome === 'broken') expect(['broken', 'refused']).toContain(seen.kind)
  else if (one.outcome !== 'any') expect(seen.kind).toBe(one.outcome)
  if (seen.kind === 'served') expect(seen.body).toBe('hello')
  expect(seen.body).not.toContain('evil')

  edge.origin.respond = echoPath
  const another = path.replace('1.m4s', '2.m4s')
  expect(await ask(another)).toEqual({ kind: 'served', body: another })
  // A failure is remembered for a quarter of a second.
  await clock.advance(1_000)
  const isStored = seen.kind === 'served'
  expect(await ask(path)).toEqual({ kind: 'served', body: isStored ? 'hello' : path })
})
