// The state feed: follows events, survives what lines do, and asks by itself while there are none.
import { describe, expect, test } from 'vitest'
import { ApiError } from '../../../web/console/api/client.ts'
import type { ClusterState } from '../../../web/console/api/shapes.ts'
import { StateFeed } from '../../../web/console/api/state-feed.ts'
import { FakeClock } from '../../support/fake-clock.ts'

const state = (now: string): ClusterState => ({ now, nodes: [], streams: [] })
const event = (now: string) => `event: state\ndata: ${JSON.stringify(state(now))}\n\n`

/** One event stream that the test writes to. */
class Line {
  readonly #stream: ReadableStream<Uint8Array>
  #controller!: ReadableStreamDefaultController<Uint8Array>

  constructor() {
    this.#stream = new ReadableStream({
      start: (controller) => {
        this.#controller = controller
      },
    })
  }

  write(text: string): void {
    this.#controller.enqueue(new TextEncoder().encode(text))
  }

  end(): void {
    this.#controller.close()
  }

  open(signal: AbortSignal): AsyncIterable<Uint8Array> {
    signal.addEventListener('abort', () => this.#controller.error(new Error('aborted')))
    return this.#stream
  }
}

function setUp(
  open: () => Line | ApiError,
  ask: () => ClusterState | ApiError = () => state('asked'),
) {
  const clock = new FakeClock()
  const counts = { opened: 0, asked: 0, signedOut: 0 }
  const feed = new StateFeed({
    clock,
    async open(signal) {
      counts.opened++
      const line = open()
      if (line instanceof ApiError) throw line
      return line.open(signal)
    },
    async ask() {
      counts.asked++
      const answer = ask()
      if (answer instanceof ApiError) throw answer
      return answer
    },
    onSignedOut: () => counts.signedOut++,
  })
  const done = feed.run()
  const view = () => {
    const { connection, state } = feed.view.get()
    return [connection, state?.now]
  }
  return { clock, feed, counts, view, done }
}

describe('state feed', () => {
  test('shows each state that comes', async () => {
    const line = new Line()
    const { clock, feed, view, done } = setUp(() => line)
    await clock.advance(0)
    expect(view()).toEqual(['connecting', undefined])
    const text = event('one') + event('two')
    line.write(text.slice(0, 25))
    line.write(text.slice(25))
    await clock.advance(0)
    expect(view()).toEqual(['live', 'two'])
    feed.stop()
    await done
  })

  test('opens again when the line ends, and keeps the last state meanwhile', async () => {
    let line = new Line()
    const { clock, feed, view, counts, done } = setUp(() => line)
    line.write(event('one'))
    await clock.advance(0)
    const old = line
    line = new Line()
    old.end()
    await clock.advance(0)
    expect(view()).toEqual(['connecting', 'one'])
    line.write(event('two'))
    await clock.advance(1_000)
    expect(view()).toEqual(['live', 'two'])
    expect(counts).toMatchObject({ opened: 2, asked: 0 })
    feed.stop()
    await done
  })

  test('takes a line that says nothing at all for dead', async () => {
    const lines: Line[] = []
    const { clock, feed, counts, done } = setUp(() => {
      const line = new Line()
      lines.push(line)
      return line
    })
    await clock.advance(0)
    lines[0]!.write(event('one'))
    await clock.advance(10_000)
    lines[0]!.write(': ping\n\n')
    await clock.advance(15_000)
    expect(counts.opened).toBe(1)
    await clock.advance(3_000)
    expect(counts.opened).toBe(2)
    feed.stop()
    await done
  })

  test('asks by plain requests while there are no events', async () => {
    const { clock, feed, counts, view, done } = setUp(() => new ApiError(502, 'unexpected', ''))
    await clock.advance(1_000)
    expect(view()).toEqual(['polling', 'asked'])
    await clock.advance(60_000)
    expect(counts.asked).toBeGreaterThan(4)
    expect(counts.asked).toBeLessThan(10)
    feed.stop()
    await done
  })

  test('says so when nothing answers', async () => {
    const away = new ApiError(0, 'no-answer', '')
    const { clock, feed, view, done } = setUp(
      () => away,
      () => away,
    )
    await clock.advance(5_000)
    expect(view()).toEqual(['lost', undefined])
    feed.stop()
    await done
  })

  test.each(['open', 'ask'])('ends when the bearer is refused on %s', async (where) => {
    const refused = new ApiError(401, 'bearer-invalid', '')
    const { clock, counts, done } = setUp(
      () => (where === 'open' ? refused : new ApiError(502, 'unexpected', '')),
      () => refused,
    )
    await clock.advance(5_000)
    await done
    expect(counts.signedOut).toBe(1)
  })

  test('a state that is no JSON ends the line, not the feed', async () => {
    let line = new Line()
    const { clock, feed, view, done } = setUp(() => line)
    line.write('event: state\ndata: {half\n\n')
    line = new Line()
    line.write(event('good'))
    await clock.advance(2_000)
    expect(view()).toEqual(['live', 'good'])
    feed.stop()
    await done
  })
})
