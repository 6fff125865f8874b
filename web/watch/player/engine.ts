// What the page asks of a player, whatever library does the work: one engine per start, thrown away whole.
import type { Choice } from './choice.ts'

export type Protocol = 'hls' | 'dash'

/** As near to live as the parts allow, or a few segments behind it, for networks that come and go. */
export type LatencyMode = 'low' | 'normal'

export interface Engine {
  readonly protocol: Protocol
  /** Best first; empty where the browser's own player hides them. */
  choices(): Choice[]
  /** What is on the screen now. */
  current(): Choice | null
  /** `auto`, or the id of a choice. */
  choose(id: string): void
  /** Behind the publisher's clock, where the media tells it; else behind the newest media. */
  latencySeconds(): number | null
  /** The latency that the player steers towards. */
  targetLatencySeconds(): number | null
  /** Where a live show is joined, on the video element's timeline. */
  livePosition(): number | null
  dispose(): void
}

export interface EngineEvents {
  /** Choices or the current one have changed. */
  onChange(): void
  /** The engine cannot go on. `detail` is for diagnostics, never for the reader. */
  onFatal(detail: string): void
}

export interface EngineSource {
  video: HTMLVideoElement
  url: string
  isLive: boolean
  latencyMode: LatencyMode
  /** Id of the choice, or `auto`; a height in words ("720p") that the last engine had. */
  preferred: string
  /** The server's clock minus ours, ms. */
  clockOffsetMs(): number
}

export type StartEngine = (source: EngineSource, events: EngineEvents) => Engine
