// A client that shuts its side behind its request gets all of what is here, on every road of HTTP/1.1; nothing is waited for,
// as it may have left.
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { parseAnswers, RawClient } from '../../support/raw-client.ts'
import { wholeAnswer } from '../../support/raw-origin.ts'
import { until } from '../../support/until.ts'
import { StrictEdge } from './support.ts'

const path = '/live/demo/abcdef12-1/720p/1.m4s'
const body = 'x'.repeat(3_000_000)
const get = (target: string, lines = '') =>
  `GET ${target} HTTP/1.1\r\nHost: localhost\r\n${lines}\r\n`

const roads: [string, string][] = [
  ['the fast road', ''],
  ['node:http', 'Range: bytes=0-2999999\r\n'],
]

let edge: StrictEdge

beforeEach(async () => {
  edge = await StrictEdge.start()
  edge.origin.respond = (_request, socket) => socket.write(wholeAnswer(body))
})

afterEach(async () => {
  await edge?.[Symbol.asyncDispose]()
})

async function bodiesOf(client: RawClient): Promise<number[]> {
  return parseAnswers(await client.toEnd(), () => false).map((answer) => answer.body.length)
}

describe.each(['plain', 'tls'] as const)('by %s', (port) => {
  it.each(roads)('%s sends the whole of a large body', async (_name, lines) => {
    using first = await RawClient.dial(edge[port])
    first.socket.write(get(path, 'Connection: close\r\n'))
    expect(await bodiesOf(first)).toEqual([body.length])
    using client = await RawClient.dial(edge[port])
    client.socket.end(get(path, lines))
    expect(await bodiesOf(client)).toEqual([body.length])
    expect(edge.origin.requests).toHaveLength(1)
  })

  it.each(roads)(
    '%s answers what came while another answer was under way',
    async (_name, lines) => {
      using client = await RawClient.dial(edge[port])
      client.socket.write(get(path))
      await client.until((text) => text.length > 1_000)
      client.socket.end(get(path, lines))
      expect(await bodiesOf(client)).toEqual([body.length, body.length])
    },
  )

  it.each(roads)('%s waits for no answer, and for no more of one', async (_name, lines) => {
    const begun = wholeAnswer(body).slice(0, 1_000)
    for (const answer of ['', begun]) {
      edge.reset()
      const { promise: asked, resolve } = Promise.withResolvers<void>()
      edge.origin.respond = (_request, socket) => {
        socket.write(answer)
        resolve()
      }
      using client = await RawClient.dial(edge[port])
      client.socket.write(get(path, lines))
      await asked
      if (answer !== '') await client.until((text) => text.endsWith('x'))
      client.socket.end()
      expect((await client.toEnd()).length).toBeLessThan(2_000)
      await until('nobody to wait', () => {
        const { waiters, readers } = edge.delivery.top('')
        return waiters === 0 && readers === 0
      })
    }
  })
})
