// What the chaos runner strikes with, and what it notes of each strike.
import type { StageOptions, TakeoverStage } from '../../test/support/takeover-stage.ts'

export interface Strike {
  /** What the stream and its publisher are judged from; on the clock of `performance.now()`. */
  struckAtMs: number
  /** Makes the machine whole again, once media is listed again; resolves when every role is there. */
  heal(): Promise<void>
  /** Further times that this fault is about, by the words of the table; complete when it is healed. */
  times?: Record<string, number>
  /** What else was counted, by the words of the table. */
  figures?: Record<string, number>
  /** What helps to understand the figures; nothing is judged by it. */
  notes?: readonly string[]
  /** What a second publisher sent; it is gone when the strike is healed. */
  alsoSent?: TakeoverStage['publisher']['sent']
}

export interface Fault {
  /** F5 */
  id: string
  name: string
  stage: StageOptions
  /** No second strike belongs on the same stream. */
  needsOwnStage?: boolean
  /** Connections that a publisher may lose per run. */
  allowedDisconnects: number
  /** Bound of the time to the next segment, as agreed: at the median, and of 99 in 100. */
  goalMs?: { median?: number; p99?: number }
  /** Bounds of the strike's further times, by the same words; each run must keep them. */
  goalTimesMs?: Record<string, number>
  /** The most that each figure of the strike may be; each run must keep them. */
  goalFigures?: Record<string, number>
  /** Frames that were sent to a connection that was then lost, or not at all, count as lost, and are no fault here. */
  mayLose: boolean
  strike(stage: TakeoverStage): Promise<Strike>
}

export interface FaultRun {
  fault: string
  /** ISO 8601. */
  at: string
  /** Undefined: nothing new within the limit. */
  nextSegmentMs: number | undefined
  /** The longest time in which some playlist listed nothing new. */
  silenceMs: number
  disconnects: number
  lost: number
  doubled: number
  /** Other bytes, other order. */
  broken: number
  skipped: number
  gaps: number
  discontinuities: number
  /** Sentences of the audit. */
  faults: string[]
  /** Which frames are not as they should be: `audio lost: 812, 813`. */
  traces: string[]
  times: Record<string, number>
  figures: Record<string, number>
  notes: readonly string[]
}
