// What the page asks of a player, whatever library does the work: one engine per start, thrown away whole.

export type Protocol = 'hls' | 'dash'

export interface Choice {
  /** Stable within one engine. */
  id: string
  height: number
  framesPerSecond: number | null
  bitsPerSecond: number
}

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
  /** Id of the choice, or `auto`; a height in words ("720p") that the last engine had. */
  preferred: string
  /** The server's clock minus ours, ms. */
  clockOffsetMs(): number
}

export type StartEngine = (source: EngineSource, events: EngineEvents) => Engine

/** What stays the same over engines and protocols: the height. */
export function nameOf(choice: Choice): string {
  return `${choice.height}p`
}

/** Names must tell choices apart: the rate joins where two have one height. */
export function sortChoices(choices: Choice[]): Choice[] {
  return [...choices].sort((a, b) => b.height - a.height || b.bitsPerSecond - a.bitsPerSecond)
}

/** The latency that a picture's own time of day gives, unless the clocks plainly disagree. */
export function latencyFromDate(
  playingAtMs: number,
  nowMs: number,
  clockOffsetMs: number,
): number | null {
  // An answer's Date header has whole seconds: a smaller difference than this is its rounding.
  const offset = Math.abs(clockOffsetMs) > 2_000 ? clockOffsetMs : 0
  const seconds = (nowMs + offset - playingAtMs) / 1000
  return seconds >= 0 && seconds < 120 ? seconds : null
}
