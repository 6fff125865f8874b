// A stand-in while the ladder that survives crashes and pressure is being finished: one ffmpeg, no second try.
import { EncoderSession, type EncoderSessionOptions } from './encoder-session.ts'
import type { PlannedVideo } from './ladder.ts'

type Plan = EncoderSessionOptions['plan']

export interface LiveLadderOptions
  extends Omit<EncoderSessionOptions, 'plan' | 'onExit'>,
    Omit<Plan, 'rungs'> {
  planned: readonly PlannedVideo[]
  fromTicks: number
  onDropped: (rendition: string) => void
  onWanted: (rendition: string) => void
  onRestart: (reason: 'crashed' | 'stalled' | 'broken' | 'pressure') => void
  onFailed: (detail: string) => void
}

export class LiveLadder {
  readonly #session: EncoderSession

  constructor(options: LiveLadderOptions) {
    const { planned, fromTicks } = options
    this.#session = EncoderSession.start({
      ...options,
      plan: { ...options, rungs: planned.map((it) => ({ ...it, fromTicks })) },
    })
  }

  get done(): Promise<void> {
    return this.#session.exited.then(() => {})
  }

  get pid(): number | undefined {
    return this.#session.pid
  }

  get lagSeconds(): number {
    return this.#session.lagSeconds
  }

  push(...args: Parameters<EncoderSession['push']>): void {
    this.#session.push(...args)
  }

  finish(): void {
    this.#session.finish()
  }

  kill(): void {
    this.#session.kill()
  }

  switchAt(_ticks: number, _planned: readonly PlannedVideo[]): void {}
}
