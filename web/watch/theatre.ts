// Joins the session, one engine at a time, the video element and the readouts; components only draw it.
//
// Rules.
//   1. The session decides when a player starts; this file obeys. Engines are keyed by generation,
//      protocol, latency and programme: a new key throws the old engine away before the new one is made.
//   2. Whatever an engine says after its key has passed is not heard.
//   3. A quarter-second sample is the only source of "has the picture moved".
import type { Clock } from '../../common/clock.ts'
import type { ChannelStatus } from '../../common/contract/channel.ts'
import { Store } from '../common/store.ts'
import { type Choice, nameOf } from './player/choice.ts'
import type { Engine, LatencyMode, Protocol } from './player/engine.ts'
import { loadEngine } from './player/load-engine.ts'
import { PlaybackMonitor } from './player/playback-monitor.ts'
import { manifestUrl, type Programme } from './programme.ts'
import {
  advance,
  newSession,
  type Scene,
  type Session,
  type SessionEvent,
  type StatusAnswer,
  sceneOf,
} from './session.ts'

export type StageScene = Scene | 'replay-gone' | 'replay-over' | 'unsupported'

export interface TheatreView {
  status: ChannelStatus | null
  scene: StageScene
  programme: Programme
  protocol: Protocol
  latencyMode: LatencyMode
  choices: Choice[]
  /** `auto`, or the name of what the viewer wants ("720p"). */
  clarity: string
  isPaused: boolean
  /** The browser lets nothing play before a tap. */
  needsTap: boolean
  isMuted: boolean
  volume: number
}

export interface Readout {
  currentTime: number
  durationSeconds: number | null
  bufferedSeconds: number
  latencySeconds: number | null
  targetLatencySeconds: number | null
  timeToFirstPictureMs: number | null
  stalls: number
  rendition: string | null
  renditionBitsPerSecond: number | null
  /** Seconds behind where live is joined; null in a replay. */
  behindSeconds: number | null
}

export interface TheatreOptions {
  liveId: string
  programme: Programme
  protocol: Protocol
  latencyMode: LatencyMode
  isMuted: boolean
  clock: Clock
}

export const sampleMs = 250
const endToleranceSeconds = 0.5

export class Theatre {
  readonly view: Store<TheatreView>
  readonly readout: Store<Readout>
  /** The last thing an engine gave up on, for diagnostics. */
  lastFatal: string | null = null
  /** The server's clock minus ours, as the last answer's Date header tells. */
  clockOffsetMs = 0

  readonly #clock: Clock
  readonly #liveId: string
  #session: Session = newSession
  #video: HTMLVideoElement | null = null
  #engine: Engine | null = null
  #engineKey = ''
  #monitor = new PlaybackMonitor(0)
  #stallsBefore = 0
  #replay: { attempt: number; stopped: 'fatal' | 'ended' | null } = { attempt: 1, stopped: null }
  #isUnsupported = false
  #isSwapping = false
  #waitingSince: number | null = 0

  constructor(options: TheatreOptions) {
    const { liveId, programme, protocol, latencyMode, isMuted, clock } = options
    this.#liveId = liveId
    this.#clock = clock
    this.view = new Store<TheatreView>({
      status: null,
      scene: 'asking',
      programme,
      protocol,
      latencyMode,
      choices: [],
      clarity: 'auto',
      isPaused: false,
      needsTap: false,
      isMuted,
      volume: 1,
    })
    this.readout = new Store<Readout>(emptyReadout)
  }

  get isReplay(): boolean {
    return this.view.get().programme.kind === 'replay'
  }

  /** Binds the video element; the returned function lets it go. */
  attach(video: HTMLVideoElement): () => void {
    const stop = new AbortController()
    const on = (name: string, listener: () => void) =>
      video.addEventListener(name, listener, { signal: stop.signal })
    this.#video = video
    video.muted = this.view.get().isMuted
    on('loadedmetadata', () => void this.#play())
    on('loadeddata', () => this.#monitor.pictureShown(this.#now()))
    on('ended', () => this.#ended())
    on('pause', () => {
      if (!video.ended && !this.#isSwapping) this.#paused(true)
    })
    on('playing', () => this.#paused(false))
    on('volumechange', () => this.#readSound(video))
    const timer = this.#clock.setInterval(() => this.#sample(), sampleMs)
    this.#sample()
    return () => {
      stop.abort()
      timer.cancel()
      this.#dropEngine()
      this.#video = null
    }
  }

  answer(answer: StatusAnswer): void {
    const isFirst = this.#session.knows === 'nothing'
    const isLive = answer.kind === 'status' && answer.status.state === 'live'
    // Whoever opens a page of a running show waits from the click; else from the moment it goes on.
    if (isFirst && !isLive) this.#waitingSince = null
    this.#hear({ type: 'status', answer, at: this.#now() })
  }

  // --- what a viewer can do ---

  togglePlay(): void {
    const video = this.#video
    if (!video) return
    if (!video.paused) {
      video.pause()
      return
    }
    const { behindSeconds } = this.readout.get()
    // Whoever comes back to a live show after a while means now, not then.
    if (behindSeconds !== null && behindSeconds > 10) this.goLive()
    void this.#play()
  }

  goLive(): void {
    const position = this.#engine?.livePosition()
    if (this.#video && position) this.#video.currentTime = position
    void this.#play()
  }

  seekBy(seconds: number): void {
    const video = this.#video
    if (!video || video.seekable.length === 0) return
    const first = video.seekable.start(0)
    const last = video.seekable.end(video.seekable.length - 1)
    const limit = this.isReplay ? last : (this.#engine?.livePosition() ?? last)
    video.currentTime = Math.max(first, Math.min(limit, video.currentTime + seconds))
  }

  seekTo(seconds: number): void {
    if (this.#video) this.#video.currentTime = seconds
  }

  setMuted(isMuted: boolean): void {
    if (!this.#video) return
    this.#video.muted = isMuted
    if (!isMuted && this.#video.volume === 0) this.#video.volume = 0.5
    this.#readSound(this.#video)
  }

  setVolume(volume: number): void {
    if (!this.#video) return
    this.#video.volume = Math.max(0, Math.min(1, volume))
    this.#video.muted = this.#video.volume === 0
    this.#readSound(this.#video)
  }

  setProtocol(protocol: Protocol): void {
    if (protocol === this.view.get().protocol) return
    this.#isUnsupported = false
    this.#replay = { attempt: this.#replay.attempt, stopped: null }
    this.#waitingSince = null
    this.#patch({ protocol })
    this.#sync()
  }

  setLatencyMode(latencyMode: LatencyMode): void {
    if (latencyMode === this.view.get().latencyMode) return
    if (!this.isReplay) this.#waitingSince = null
    this.#patch({ latencyMode })
    this.#sync()
  }

  setClarity(name: string): void {
    this.#patch({ clarity: name })
    const choice = this.#engine?.choices().find((candidate) => nameOf(candidate) === name)
    this.#engine?.choose(choice?.id ?? 'auto')
  }

  setProgramme(programme: Programme): void {
    this.#replay = { attempt: this.#replay.attempt + 1, stopped: null }
    this.#waitingSince = null
    this.#patch({ programme, isPaused: false })
    // Not a sample: what the old engine stands at says nothing about the new one.
    this.#sync()
  }

  /** Starts a replay again that could not be played, or is over. */
  retry(): void {
    this.#isUnsupported = false
    this.setProgramme(this.view.get().programme)
  }

  // --- inside ---

  #now(): number {
    return this.#clock.monotonic()
  }

  #hear(event: SessionEvent): void {
    this.#session = advance(this.#session, event)
    this.#sync()
  }

  /** Called at once by whoever changes it: `volumechange` comes later than the next key may. */
  #readSound({ muted, volume }: HTMLVideoElement): void {
    this.#patch({ isMuted: muted, volume })
  }

  #paused(paused: boolean): void {
    this.#patch({ isPaused: paused, ...(paused ? {} : { needsTap: false }) })
    this.#hear({ type: 'paused', paused, at: this.#now() })
  }

  #ended(): void {
    if (this.isReplay) this.#replay.stopped ??= 'ended'
    else this.#hear({ type: 'ended', at: this.#now() })
    this.#sync()
  }

  #fatal(detail: string): void {
    this.lastFatal = detail
    if (this.isReplay) this.#replay.stopped ??= 'fatal'
    else this.#hear({ type: 'fatal', at: this.#now() })
    this.#sync()
  }

  #sample(): void {
    const video = this.#video
    const at = this.#now()
    if (video && this.#engine) {
      const isIdle = video.paused || video.seeking || video.ended
      const hasMoved = this.#monitor.sample({ at, currentTime: video.currentTime, isIdle })
      // Tracks of unlike length can leave a picture that stands a blink before its end for good.
      const isAtEnd = video.duration - video.currentTime < endToleranceSeconds
      if (this.isReplay && this.#monitor.isStalled && isAtEnd) this.#replay.stopped ??= 'ended'
      if (hasMoved && !this.isReplay) {
        this.#session = advance(this.#session, { type: 'progress', at })
      }
    }
    this.#session = advance(this.#session, { type: 'tick', at })
    this.#sync()
    this.readout.set(this.readNow())
  }

  /** Makes engine and view what session and programme say. */
  #sync(): void {
    const { programme, protocol, latencyMode } = this.view.get()
    const player = this.#session.player
    const key =
      programme.kind === 'replay'
        ? `replay ${programme.replayId} ${this.#replay.attempt} ${protocol}`
        : player
          ? `live ${player.generation} ${protocol} ${latencyMode}`
          : ''
    if (key !== this.#engineKey) {
      this.#engineKey = key
      this.#dropEngine()
      if (key !== '') void this.#startEngine(key)
    }
    this.#patch({ status: this.#session.status, scene: this.#scene() })
  }

  #scene(): StageScene {
    if (this.#isUnsupported) return 'unsupported'
    if (!this.isReplay) return sceneOf(this.#session, this.#now())
    if (this.#replay.stopped)
      return this.#replay.stopped === 'ended' ? 'replay-over' : 'replay-gone'
    if (this.#monitor.timeToFirstPictureMs === null) return 'starting'
    return this.#monitor.isStalled ? 'catching-up' : 'playing'
  }

  async #startEngine(key: string): Promise<void> {
    const video = this.#video
    if (!video) return
    this.#monitor = new PlaybackMonitor(this.#waitingSince ?? this.#now())
    this.#waitingSince = null
    const { programme, protocol, latencyMode, clarity } = this.view.get()
    const isCurrent = () => key === this.#engineKey && this.#video === video
    let startEngine: Awaited<ReturnType<typeof loadEngine>>
    try {
      startEngine = await loadEngine(protocol, video)
    } catch {
      if (isCurrent()) this.#fatal('player code did not load')
      return
    }
    if (!isCurrent()) return
    if (!startEngine) {
      this.#isUnsupported = true
      return this.#sync()
    }
    this.#engine = startEngine(
      {
        video,
        url: manifestUrl(this.#liveId, programme, protocol),
        isLive: programme.kind === 'live',
        latencyMode,
        preferred: clarity,
        clockOffsetMs: () => this.clockOffsetMs,
      },
      {
        onChange: () => {
          if (isCurrent() && this.#engine) this.#patch({ choices: this.#engine.choices() })
        },
        onFatal: (detail) => {
          if (isCurrent()) this.#fatal(detail)
        },
      },
    )
  }

  #dropEngine(): void {
    if (!this.#engine) return
    this.#stallsBefore += this.#monitor.stalls
    this.#isSwapping = true
    this.#engine.dispose()
    this.#isSwapping = false
    this.#engine = null
    this.#patch({ choices: [] })
  }

  async #play(): Promise<void> {
    const video = this.#video
    if (!video) return
    try {
      await video.play()
    } catch (err) {
      if (!(err instanceof DOMException) || err.name !== 'NotAllowedError') return
      // Sound needs a gesture first; without sound the picture may start by itself.
      if (!video.muted) {
        video.muted = true
        this.#readSound(video)
        return this.#play()
      }
      this.#patch({ needsTap: true })
    }
  }

  /** Fresh from the player, where `readout` is up to a sample old. */
  readNow(): Readout {
    const video = this.#video
    const engine = this.#engine
    if (!video || !engine) {
      return { ...emptyReadout, stalls: this.#stallsBefore }
    }
    const current = engine.current()
    const live = engine.livePosition()
    return {
      currentTime: video.currentTime,
      durationSeconds: Number.isFinite(video.duration) ? video.duration : null,
      bufferedSeconds: bufferedAhead(video),
      latencySeconds: engine.latencySeconds(),
      targetLatencySeconds: engine.targetLatencySeconds(),
      timeToFirstPictureMs: this.#monitor.timeToFirstPictureMs,
      stalls: this.#stallsBefore + this.#monitor.stalls,
      rendition: current && nameOf(current),
      renditionBitsPerSecond: current && current.bitsPerSecond > 0 ? current.bitsPerSecond : null,
      behindSeconds: live === null ? null : Math.max(0, live - video.currentTime),
    }
  }

  #patch(change: Partial<TheatreView>): void {
    const view = this.view.get()
    const keys = Object.keys(change) as (keyof TheatreView)[]
    if (keys.some((key) => !Object.is(view[key], change[key]))) {
      this.view.set({ ...view, ...change })
    }
  }
}

const emptyReadout: Readout = {
  currentTime: 0,
  durationSeconds: null,
  bufferedSeconds: 0,
  latencySeconds: null,
  targetLatencySeconds: null,
  timeToFirstPictureMs: null,
  stalls: 0,
  rendition: null,
  renditionBitsPerSecond: null,
  behindSeconds: null,
}

function bufferedAhead({ buffered, currentTime }: HTMLVideoElement): number {
  for (let i = 0; i < buffered.length; i++) {
    // A tenth of a second of tolerance: the start of the buffer is rarely the very first sample.
    if (buffered.start(i) <= currentTime + 0.1 && buffered.end(i) > currentTime) {
      return buffered.end(i) - currentTime
    }
  }
  return 0
}
