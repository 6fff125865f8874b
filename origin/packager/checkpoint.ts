// Where cutting stands: with it and the samples from `endSeconds` on, the same numbers, parts and, for the
// source, the same bytes come out again.
import type { LiveSettings } from './live-broadcast.ts'

/** How a segment has left its track. */
export interface TrackEnd {
  nextPartId: number
  endTicks: number
  /** Of the last sample. */
  frameTicks: number
  isReordered: boolean
}

export interface Checkpoint {
  /** Of the segment that begins at `endSeconds`; every rendition has committed those before. */
  nextNumber: number
  /** Takes that have published something. */
  takes: number
  endSeconds: number
  settings?: LiveSettings
  /** Of the picture, measured when the settings were chosen. */
  framesPerSecond?: number
  /** Once a take has left its grid, none is trusted to keep one. */
  isIrregular?: boolean
  /** Of the next part, by rendition name. */
  partIds?: Readonly<Record<string, number>>
  /** The take that goes on at `endSeconds`: started again under its name, it keeps its start and its grid. */
  open?: {
    name: string
    firstNumber: number
    startSeconds: number
    isRegular: boolean
    tracks: Readonly<Record<string, TrackEnd>>
  }
}
