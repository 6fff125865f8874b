// The sender of `nearcast publish`: connects, sends what ffmpeg makes, and comes back as an encoder does.
import { type Clock, delay } from '../../common/clock.ts'
import { isRetryable, type Refusal } from '../../common/contract/refusal.ts'
import { messageOf } from '../../common/errors.ts'
import {
  refusalOf,
  UpstreamPublisher,
  type UpstreamTarget,
} from '../../common/relay/upstream-publisher.ts'
import type { MediaMessage } from '../../media/rtmp/message.ts'
import { targetText } from './publish-target.ts'

/** Media from its beginning, once for each connection. */
export interface MediaSource extends AsyncDisposable {
  messages(): AsyncIterable<MediaMessage>
}

export interface PublisherOptions {
  target: UpstreamTarget
  openSource: () => Promise<MediaSource>
  reconnect: boolean
  clock: Clock
  say: (line: string) => void
  /** The first time that the publish has started. */
  onStarted?: () => void
  /** Milliseconds between two lines about progress. */
  progressMs: number
}

const connectTimeoutMs = 10_000
const publishTimeoutMs = 15_000
const goodbyeMs = 1_000
// As OBS Studio waits: a little longer after each failure in a row.
const firstBackoffMs = 2_000
const backoffFactor = 1.5
const maxBackoffMs = 30_000

type Ending =
  | { kind: 'finished' }
  | { kind: 'stopped' }
  | { kind: 'refused'; refusal: Refusal }
  /** Nobody answered, or the connection was lost. */
  | { kind: 'lost'; reason: string }
  | { kind: 'source-failed'; reason: string }

export class Publisher {
  readonly #options: PublisherOptions
  #hasStarted = false
  #backoffMs = firstBackoffMs

  constructor(options: PublisherOptions) {
    this.#options = options
  }

  /** Publishes until the source ends, `signal` aborts, or it makes no sense to go on. True: all went well. */
  async run(signal: AbortSignal): Promise<boolean> {
    const { clock, say, reconnect } = this.#options
    for (;;) {
      const ending = await this.#publishOnce(signal)
      if (ending.kind === 'finished' || ending.kind === 'stopped') return true
      say(endingText(ending))
      const isWorthIt =
        ending.kind === 'lost' || (ending.kind === 'refused' && isRetryable(ending.refusal.code))
      // Once it has worked, it may work again: the key may be valid and the input fine a little later.
      if (!reconnect || !(isWorthIt || (this.#hasStarted && ending.kind === 'refused')))
        return false
      say(`next try in ${(this.#backoffMs / 1000).toFixed(1)} s`)
      await delay(clock, this.#backoffMs, signal)
      if (signal.aborted) return true
      this.#backoffMs = Math.min(this.#backoffMs * backoffFactor, maxBackoffMs)
    }
  }

  async #publishOnce(signal: AbortSignal): Promise<Ending> {
    const { target, clock, say } = this.#options
    say(`connecting to ${targetText(target)}`)
    const opening = UpstreamPublisher.open(target, { clock, connectTimeoutMs, publishTimeoutMs })
    const outcome = await Promise.race([opening, aborted(signal)])
    if (outcome === 'aborted') {
      // Nobody waits for it any more, but its socket must not be left open.
      void opening.then((late) => 'started' in late && late.started.destroy())
      return { kind: 'stopped' }
    }
    if ('refused' in outcome) return { kind: 'refused', refusal: outcome.refused }
    if ('failed' in outcome) return { kind: 'lost', reason: outcome.failed }
    say(`publishing to ${targetText(target)}`)
    this.#backoffMs = firstBackoffMs
    if (!this.#hasStarted) this.#options.onStarted?.()
    this.#hasStarted = true
    try {
      return await this.#send(outcome.started, signal)
    } finally {
      outcome.started.unpublish()
      // The goodbye must leave before the process does.
      await Promise.race([outcome.started.closed, delay(clock, goodbyeMs)])
    }
  }

  async #send(upstream: UpstreamPublisher, signal: AbortSignal): Promise<Ending> {
    const over = Promise.withResolvers<Ending>()
    upstream.onStatus = (status) => {
      if (status.level === 'error') {
        over.resolve({ kind: 'refused', refusal: refusalOf(status) })
      }
    }
    // A refusal is told by a status; the close that follows must not hide it.
    void upstream.closed.then((reason) => over.resolve({ kind: 'lost', reason }))
    void aborted(signal).then(() => over.resolve({ kind: 'stopped' }))
    await using source = await this.#options.openSource()
    void this.#pump(source, upstream, over.promise).then(over.resolve)
    return await over.promise
  }

  async #pump(
    source: MediaSource,
    upstream: UpstreamPublisher,
    over: Promise<Ending>,
  ): Promise<Ending> {
    let isOver = false
    let wake = () => {}
    upstream.onDrain = () => wake()
    void over.then(() => {
      isOver = true
      wake()
    })
    const progress = new Progress(this.#options)
    try {
      for await (const message of source.messages()) {
        if (isOver) break
        progress.count(message)
        if (upstream.send(message)) continue
        await new Promise<void>((resolve) => {
          wake = resolve
        })
      }
      return { kind: 'finished' }
    } catch (err) {
      return { kind: 'source-failed', reason: messageOf(err) }
    }
  }
}

/** A line now and then: how long, how much. */
class Progress {
  readonly #options: Pick<PublisherOptions, 'clock' | 'say' | 'progressMs'>
  readonly #startedAt: number
  #lastAt: number
  #bytes = 0

  constructor(options: Pick<PublisherOptions, 'clock' | 'say' | 'progressMs'>) {
    this.#options = options
    this.#startedAt = options.clock.monotonic()
    this.#lastAt = this.#startedAt
  }

  count({ payload }: MediaMessage): void {
    const { clock, say, progressMs } = this.#options
    this.#bytes += payload.length
    const now = clock.monotonic()
    if (now - this.#lastAt < progressMs) return
    const kilobitsPerSecond = (this.#bytes * 8) / (now - this.#lastAt)
    const seconds = Math.round((now - this.#startedAt) / 1000)
    say(`${clockText(seconds)}  ${kilobitsPerSecond.toFixed(0)} kb/s`)
    this.#bytes = 0
    this.#lastAt = now
  }
}

function clockText(seconds: number): string {
  const two = (value: number) => String(Math.floor(value)).padStart(2, '0')
  return `${two(seconds / 3600)}:${two((seconds / 60) % 60)}:${two(seconds % 60)}`
}

function endingText(ending: Exclude<Ending, { kind: 'finished' | 'stopped' }>): string {
  switch (ending.kind) {
    case 'refused':
      return `refused: ${ending.refusal.message} (${ending.refusal.code})`
    case 'lost':
      return `not connected: ${ending.reason}${certificateHint(ending.reason)}`
    case 'source-failed':
      return ending.reason
  }
}

function certificateHint(reason: string): string {
  const isUntrusted = /SELF_SIGNED|UNABLE_TO_(VERIFY|GET)|CERT_|ALTNAME/.test(reason)
  return isUntrusted ? ' (give the CA with --ca FILE, or --insecure to take any certificate)' : ''
}

function aborted(signal: AbortSignal): Promise<'aborted'> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve('aborted')
    else signal.addEventListener('abort', () => resolve('aborted'), { once: true })
  })
}
