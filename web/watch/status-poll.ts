// Asks for a channel's status.json again and again: about every 2 s while something is on, slower where
// nothing happens, with a spread so that an audience does not ask in step.
import type { Clock } from '../../common/clock.ts'
import { delay } from '../../common/clock.ts'
import type { ChannelStatus } from '../../common/contract/channel.ts'
import type { StatusAnswer } from './session.ts'

const usualMs = 2_000
const quietMs = 5_000
const quietAfterPolls = 30
const hiddenMs = 10_000
const longestMs = 15_000
const requestTimeoutMs = 8_000
const spread = 0.15

export interface PollFacts {
  state: ChannelStatus['state'] | null
  /** Answers in a row without a change. */
  steady: number
  failures: number
  isHidden: boolean
  /** 0 to 1. */
  random: number
}

export function nextPollMs(facts: PollFacts): number {
  const { state, steady, failures, isHidden, random } = facts
  let ms = usualMs
  if (failures > 0) ms = Math.min(longestMs, usualMs * 1.5 ** failures)
  else if (state !== 'live' && state !== 'held' && steady >= quietAfterPolls) ms = quietMs
  if (isHidden) ms = Math.max(ms, hiddenMs)
  return Math.round(ms * (1 - spread + 2 * spread * random))
}

export interface StatusPollOptions {
  url: string
  clock: Clock
  fetch(url: string, init: { signal: AbortSignal; cache: 'no-cache' }): Promise<PolledResponse>
  isHidden(): boolean
  random(): number
  onAnswer(answer: StatusAnswer): void
}

/** As much of a `Response` as is read here. */
export interface PolledResponse {
  status: number
  ok: boolean
  json(): Promise<unknown>
}

export class StatusPoll {
  readonly #options: StatusPollOptions
  readonly #stop = new AbortController()
  #wake = new AbortController()

  constructor(options: StatusPollOptions) {
    this.#options = options
  }

  /** Runs until stopped. */
  async run(): Promise<void> {
    const { clock, isHidden, random, onAnswer } = this.#options
    let failures = 0
    let steady = 0
    let last = ''
    while (!this.#stop.signal.aborted) {
      const answer = await this.#ask()
      if (this.#stop.signal.aborted) return
      onAnswer(answer)
      failures = answer.kind === 'failed' ? failures + 1 : 0
      const state = answer.kind === 'status' ? answer.status.state : null
      const now = answer.kind + state
      steady = now === last ? steady + 1 : 0
      last = now
      this.#wake = new AbortController()
      const signal = AbortSignal.any([this.#stop.signal, this.#wake.signal])
      const facts = { state, steady, failures, isHidden: isHidden(), random: random() }
      await delay(clock, nextPollMs(facts), signal)
    }
  }

  /** Ask now, not at the end of the pause: the page has come to the front, or the player is in trouble. */
  hurry(): void {
    this.#wake.abort()
  }

  stop(): void {
    this.#stop.abort()
  }

  async #ask(): Promise<StatusAnswer> {
    const { url, clock } = this.#options
    const timeout = new AbortController()
    const timer = clock.setTimeout(() => timeout.abort(), requestTimeoutMs)
    try {
      const signal = AbortSignal.any([this.#stop.signal, timeout.signal])
      const response = await this.#options.fetch(url, { signal, cache: 'no-cache' })
      if (response.status === 404) return { kind: 'unknown' }
      if (!response.ok) return { kind: 'failed' }
      const status = readStatus(await response.json())
      return status ? { kind: 'status', status } : { kind: 'failed' }
    } catch {
      return { kind: 'failed' }
    } finally {
      timer.cancel()
    }
  }
}

/** The body as far as this page relies on it; zod stays on the servers, it weighs more than the page. */
export function readStatus(body: unknown): ChannelStatus | undefined {
  if (typeof body !== 'object' || body === null) return undefined
  const {
    liveId,
    title,
    description,
    topic,
    state,
    broadcastId,
    startedAt,
    takes,
    viewers,
    replayId,
  } = body as Partial<Record<keyof ChannelStatus, unknown>>
  if (typeof liveId !== 'string') return undefined
  if (state !== 'live' && state !== 'held' && state !== 'offline') return undefined
  const text = (value: unknown) => (typeof value === 'string' ? value : '')
  const textOrNull = (value: unknown) => (typeof value === 'string' ? value : null)
  const count = (value: unknown) => (typeof value === 'number' && value >= 0 ? value : 0)
  return {
    liveId,
    title: text(title),
    description: text(description),
    topic: textOrNull(topic),
    state,
    broadcastId: textOrNull(broadcastId),
    startedAt: textOrNull(startedAt),
    takes: count(takes),
    viewers: count(viewers),
    replayId: textOrNull(replayId),
  }
}
