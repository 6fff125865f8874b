import fc from 'fast-check'
import { describe, expect, it, test } from 'vitest'
import type { FeedHead } from '../../../common/contract/feed.ts'
import { FeedFrameReader, frameBytes } from '../../../common/live/feed-frames.ts'

const empty: FeedHead = { kind: 'change', inits: [], segments: [], playlists: [], coming: [] }

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}

const raw = (head: string, body = '') =>
  Buffer.concat([u32(head.length), Buffer.from(head), u32(body.length), Buffer.from(body)])

const heads = fc.oneof(
  fc.constant<FeedHead>({ kind: 'ping' }),
  fc.constant<FeedHead>(empty),
  fc.integer({ min: 1 }).map((epoch): FeedHead => {
    const facts = { broadcastId: 'b', liveId: 'demo', broadcastTag: 'abcdefgh', startedAtMs: 0 }
    const rest = { isRecorded: true, firstNumber: 1, earlierTakes: 0 }
    return { kind: 'open', epoch, instance: 'i', facts: { ...facts, ...rest } }
  }),
)
const body = fc.uint8Array({ minLength: 1, maxLength: 300 }).map((it) => Buffer.from(it))
const frames = fc.array(
  fc.oneof(
    heads.map((head) => ({ head, body: Buffer.alloc(0) })),
    body.map((bytes) => ({ head: { kind: 'body' } as FeedHead, body: bytes })),
  ),
)

/** Pieces of these sizes, over and over. */
function* cut(bytes: Buffer, sizes: readonly number[]): Generator<Buffer> {
  for (let at = 0, index = 0; at < bytes.length; index++) {
    const size = sizes[index % sizes.length]!
    yield bytes.subarray(at, at + size)
    at += size
  }
}

const sizes = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1 })

test('frames come out as they went in, however the bytes are cut', () => {
  fc.assert(
    fc.property(frames, sizes, (sent, pieceSizes) => {
      const reader = new FeedFrameReader()
      const bytes = Buffer.concat(sent.flatMap((it) => frameBytes(it.head, it.body)))
      const read = [...cut(bytes, pieceSizes)].flatMap((it) => reader.push(it).frames)
      expect(read).toEqual(sent)
    }),
  )
})

test('any bytes give frames or one fault, and nothing after it', () => {
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 400 }).map((it) => Buffer.from(it)),
    fc.tuple(frames, fc.nat(), fc.integer({ min: 0, max: 255 })).map(([sent, at, value]) => {
      const good = Buffer.concat(sent.flatMap((it) => frameBytes(it.head, it.body)))
      if (good.length > 0) good[at % good.length] = value
      return good
    }),
  )
  fc.assert(
    fc.property(bytes, sizes, (input, pieceSizes) => {
      const reader = new FeedFrameReader()
      let fault: string | undefined
      for (const piece of cut(input, pieceSizes)) {
        const read = reader.push(piece)
        if (fault !== undefined) expect(read).toEqual({ frames: [], fault })
        fault = read.fault
      }
    }),
  )
})

describe('what is no frame', () => {
  it.each([
    ['a head without end', u32(0xffff_ffff), 'a head of 4294967295 bytes'],
    [
      'a body without end',
      Buffer.concat([raw('{"kind":"body"}').subarray(0, 19), u32(2 ** 31)]),
      'a body of 2147483648 bytes',
    ],
    ['no head', raw(''), 'a head that is none'],
    ['no JSON', raw('{"kind":'), 'a head that is none'],
    ['an unknown kind', raw('{"kind":"other"}'), 'a head that is none'],
    ['a change without its lists', raw('{"kind":"change"}'), 'a head that is none'],
    ['a body where none belongs', raw('{"kind":"ping"}', 'x'), 'a body out of place'],
    ['no body where one belongs', raw('{"kind":"body"}'), 'a body out of place'],
  ])('%s', (_, bytes, fault) => {
    expect(new FeedFrameReader().push(bytes)).toEqual({ frames: [], fault })
  })

  it('frames before it count', () => {
    const bytes = Buffer.concat([raw('{"kind":"ping"}'), raw('[]')])
    const { frames: read, fault } = new FeedFrameReader().push(bytes)
    expect(read).toHaveLength(1)
    expect(fault).toBe('a head that is none')
  })
})

it('a body shares no memory with the pieces that it came in', () => {
  const [front, bytes] = frameBytes({ kind: 'body' }, Buffer.from('media'))
  const piece = Buffer.concat([front!, bytes!])
  const { frames: read } = new FeedFrameReader().push(piece)
  piece.fill(0)
  expect(String(read[0]!.body)).toBe('media')
})
