// What is asked of the next origin when one breaks off in the middle of its answer.
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { UpstreamClient } from '../../../common/cache/upstream.ts'
import { systemClock } from '../../../common/clock.ts'
import { silentLogger } from '../../../common/log.ts'
import { ScriptedOrigin } from '../../support/scripted-origin.ts'
import { until } from '../../support/until.ts'

let one: ScriptedOrigin
let other: ScriptedOrigin
let client: UpstreamClient
let events: string[]

beforeEach(async () => {
  one = await ScriptedOrigin.start()
  other = await ScriptedOrigin.start()
  client = new UpstreamClient({ clock: systemClock, log: silentLogger, connectTimeoutMs: 3_000 })
  events = []
})

afterEach(async () => {
  await client[Symbol.asyncDispose]()
  await one[Symbol.asyncDispose]()
  await other[Symbol.asyncDispose]()
})

function fetch(isImmutable: boolean, origins = [one.url, other.url]): void {
  client.fetch(
    { origins, path: '/1.m4s', headers: {}, isImmutable },
    {
      head: (status) => events.push(`head ${status}`),
      data: (piece) => events.push(Buffer.from(piece).toString()),
      end: () => events.push('end'),
      fail: (failure) => events.push(`fail ${failure}`),
    },
  )
}

/** So much has come of the first origin when it breaks off. */
async function breakAfter(bytes: string, status = 200): Promise<void> {
  const first = await one.next()
  first.head(status).write(bytes)
  await until('the bytes', () => events.includes(bytes))
  first.cut()
}

const over = () => until('the end', () => /end|fail/.test(events.at(-1) ?? ''))

it('goes on where the answer broke off, in pieces of any size', async () => {
  fetch(true)
  await breakAfter('abcd')
  const second = await other.next()
  second.head(200).write('ab')
  await new Promise((resolve) => second.res.write('', resolve))
  second.write('cdef').end('gh')
  await over()
  expect(events.join(' ')).toMatch(/^head 200 abcd/)
  expect(events.slice(1, -1).join('')).toBe('abcdefgh')
  expect(events.at(-1)).toBe('end')
  expect(other.requests).toEqual(['/1.m4s'])
})

it('asks again where an idle connection was closed in the moment of its use, and nobody else', async () => {
  fetch(false)
  ;(await one.next()).head(200).end('first')
  await over()
  events = []
  fetch(false)
  ;(await one.next()).cut()
  ;(await one.next()).head(200).end('second')
  await over()
  expect(events).toEqual(['head 200', 'second', 'end'])
  expect(other.requests).toEqual([])
})

it('asks elsewhere where a new connection was closed', async () => {
  fetch(false)
  ;(await one.next()).cut()
  ;(await other.next()).head(200).end('there')
  await over()
  expect(events).toEqual(['head 200', 'there', 'end'])
  expect(one.requests).toHaveLength(1)
})

it.each<[string, (origin: ScriptedOrigin) => Promise<void>]>([
  ['has less of it', async (origin) => (await origin.next()).head(200).end('abc')],
  ['does not have it', async (origin) => (await origin.next()).head(404).end('no')],
  ['breaks off as well', async (origin) => (await origin.next()).head(200).write('abcdef').cut()],
])('ends broken where the other origin %s', async (_, answer) => {
  fetch(true)
  await breakAfter('abcd')
  await answer(other)
  await over()
  expect(events.slice(0, 2)).toEqual(['head 200', 'abcd'])
  expect(events.at(-1)).toBe('fail broken')
})

it('hands nothing on of an answer of another length', async () => {
  fetch(true)
  const first = await one.next()
  first.head(200, { 'content-length': 8 }).write('abcd')
  await until('the bytes', () => events.includes('abcd'))
  first.cut()
  const second = await other.next()
  second.head(200, { 'content-length': 12 }).end('ABCDEFGHIJKL')
  await over()
  expect(events).toEqual(['head 200', 'abcd', 'fail broken'])
})

it.each<[string, () => void, number]>([
  ['what may change', () => fetch(false), 200],
  ['an error', () => fetch(true), 404],
])('does not go on with %s', async (_, ask, status) => {
  ask()
  await breakAfter('abcd', status)
  await over()
  expect(events).toEqual([`head ${status}`, 'abcd', 'fail broken'])
  expect([one.requests.length, other.requests.length]).toEqual([1, 0])
})

it('goes on at the same origin where there is no other, once', async () => {
  fetch(true, [one.url])
  await breakAfter('abcd')
  const again = await one.next()
  again.head(200).write('abcdef')
  await until('more of it', () => events.includes('ef'))
  again.cut()
  await over()
  expect(events).toEqual(['head 200', 'abcd', 'ef', 'fail broken'])
  expect(one.requests).toHaveLength(2)
})

it('hands nothing on of an answer that has begun with other bytes', async () => {
  fetch(true)
  await breakAfter('abcd')
  ;(await other.next()).head(200).end('abCDefgh')
  await over()
  expect(events).toEqual(['head 200', 'abcd', 'fail broken'])
})

describe('asked for the rest alone', () => {
  const etag = { etag: '"v1"' }

  async function breakOff(length?: number): Promise<void> {
    fetch(true)
    const first = await one.next()
    first
      .head(200, length === undefined ? etag : { ...etag, 'content-length': length })
      .write('abcd')
    await until('the bytes', () => events.includes('abcd'))
    first.cut()
  }

  it.each<[string, number, Record<string, string>, string, string[]]>([
    ['goes on', 206, { 'content-range': 'bytes 4-7/8' }, 'efgh', ['efgh', 'end']],
    ['is over', 416, { 'content-range': 'bytes */4' }, '', ['end']],
    [
      'is not what was asked for',
      206,
      { 'content-range': 'bytes 3-7/8' },
      'defgh',
      ['fail broken'],
    ],
    ['is not all of it', 206, { 'content-range': 'bytes 4-5/8' }, 'ef', ['fail broken']],
    ['has changed', 416, { 'content-range': 'bytes */3' }, '', ['fail broken']],
  ])('an answer that %s', async (_, status, headers, body, expected) => {
    await breakOff()
    const second = await other.next()
    expect(second.req.headers).toMatchObject({ range: 'bytes=4-', 'if-range': '"v1"' })
    second.head(status, headers).end(body)
    await over()
    expect(events).toEqual(['head 200', 'abcd', ...expected])
  })

  it('has to be of the same length', async () => {
    await breakOff(9)
    ;(await other.next()).head(206, { 'content-range': 'bytes 4-7/8' }).end('efgh')
    await over()
    expect(events).toEqual(['head 200', 'abcd', 'fail broken'])
  })
})
