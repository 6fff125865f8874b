// The last piece of an answer on the fast road has time for all that waits in its connection, also where what ends it is
// five bytes long.
import { Duplex } from 'node:stream'
import { expect, test } from 'vitest'
import { FakeClock } from '../../../support/fake-clock.ts'
import { until } from '../../../support/until.ts'
import { StrictEdge } from '../../strict-door/support.ts'

const objectBytes = 500_000
/** The last piece is larger than that. */
const outstandingBytes = 150_000
/** Below the minimum rate so much is let go behind this, and not before. */
const allowedMs = 10_000 + (outstandingBytes / 16_384) * 1_000

/** A connection that takes what it is told to. */
class Taker extends Duplex {
  takenBytes = 0
  readonly #waiting: (() => void)[] = []

  override _read(): void {}

  override _write(bytes: Buffer, _encoding: string, taken: () => void): void {
    this.#waiting.push(() => {
      this.takenBytes += bytes.length
      taken()
    })
  }

  takeOne(): void {
    this.#waiting.shift()?.()
  }

  setNoDelay(): void {}
}

test.each(['chunked', 'of a known length'])('an answer %s', async (kind) => {
  const clock = new FakeClock()
  await using edge = await StrictEdge.start({ delivery: { clock } })
  const isChunked = kind === 'chunked'
  const rest = Promise.withResolvers<() => void>()
  edge.origin.respond = (_request, socket) => {
    const framing = isChunked ? 'transfer-encoding: chunked' : `content-length: ${objectBytes}`
    socket.write(`HTTP/1.1 200 OK\r\n${framing}\r\ncache-control: max-age=3600\r\n\r\n`)
    if (isChunked) socket.write(`${objectBytes.toString(16)}\r\n`)
    socket.write(Buffer.alloc(objectBytes / 2))
    rest.resolve(() => {
      socket.write(Buffer.alloc(objectBytes / 2))
      if (isChunked) socket.write('\r\n0\r\n\r\n')
    })
  }
  const ask = () => {
    const viewer = new Taker()
    viewer.on('error', () => {})
    edge.delivery.road.accept(viewer as never, () => expect.unreachable())
    viewer.push('GET /live/demo/abcdef12-1/720p/3.m4s HTTP/1.1\r\nHost: localhost\r\n\r\n')
    return viewer
  }
  const [slow, quick] = [ask(), ask()]
  const send = await rest.promise
  // What has begun before the object is whole does not know how long it will be.
  await until('the first bytes', () => slow.writableLength > 0)
  send()
  await until('the whole object', () => {
    quick.takeOne()
    return quick.takenBytes > objectBytes && quick.writableLength === 0
  })
  await until('the last piece', () => {
    if (slow.takenBytes + slow.writableLength > objectBytes) return true
    slow.takeOne()
    return false
  })
  await new Promise(setImmediate)
  expect(slow.writableLength).toBeGreaterThan(outstandingBytes)
  await clock.advance(allowedMs - 1_000)
  expect(slow.destroyed).toBe(false)
  await clock.advance(10_000)
  expect(slow.destroyed).toBe(true)
})
