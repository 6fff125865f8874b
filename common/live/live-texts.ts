// Playlists and MPDs of one live broadcast, each made once per version however many ask.
import type { Clock } from '../clock.ts'
import { liveMpd } from './dash-live.ts'
import { liveIframePlaylist, liveMediaPlaylist, liveMultivariant } from './hls-live.ts'
import type { LiveBroadcast } from './live-broadcast.ts'
import { type Answer, manifestAnswer, types } from './playback-answer.ts'

export class LiveTexts {
  readonly #broadcast: LiveBroadcast
  readonly #clock: Clock
  /** Of one version; undefined where there is nothing to list yet. */
  readonly #answers = new Map<string, Answer | undefined>()
  #version = Number.NaN

  constructor(broadcast: LiveBroadcast, clock: Clock) {
    this.#broadcast = broadcast
    this.#clock = clock
  }

  multivariant(): Answer | undefined {
    return this.#once('multivariant', types.playlist, () => liveMultivariant(this.#broadcast))
  }

  playlist(name: string, skip: 'YES' | 'v2' | undefined): Answer | undefined {
    return this.#once(`playlist ${name} ${skip}`, types.playlist, () =>
      liveMediaPlaylist(this.#broadcast, name, skip ? { skip } : {}),
    )
  }

  iframes(name: string, skip: 'YES' | 'v2' | undefined): Answer | undefined {
    return this.#once(`iframes ${name} ${skip}`, types.playlist, () =>
      liveIframePlaylist(this.#broadcast, name, skip ? { skip } : {}),
    )
  }

  mpd(addressing: 'number' | 'timeline'): Answer | undefined {
    return this.#once(`mpd ${addressing}`, types.mpd, () =>
      liveMpd(this.#broadcast, { addressing, nowMs: this.#clock.now() }),
    )
  }

  #once(key: string, type: string, write: () => string | undefined): Answer | undefined {
    if (this.#version !== this.#broadcast.version) {
      this.#version = this.#broadcast.version
      this.#answers.clear()
    }
    if (this.#answers.has(key)) return this.#answers.get(key)
    const text = write()
    const answer = text === undefined ? undefined : manifestAnswer(Buffer.from(text), type)
    this.#answers.set(key, answer)
    return answer
  }
}
