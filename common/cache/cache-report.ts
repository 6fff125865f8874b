// What a node tells operators about its cache, as plain data: why one URL is answered as it is, and what is going on.
import type { ViewerCount } from '../contract/membership.ts'
import type { CacheCounts } from './cache-metrics.ts'
import type { Inspection } from './inspection.ts'
import type { MediaObject } from './media-path.ts'
import type { QueryPart } from './url-words.ts'

export interface ExplainedObject extends MediaObject {
  take?: string
  file: string
  /** Number of a segment or part. */
  number?: number
  /** The answer is held back until the playlist has got that far. */
  isHeldReload: boolean
  /** By the class of the object: how long an answer is fresh, and stands in for a failing upstream. */
  ttlMs: number
  staleIfErrorMs: number
  isImmutable: boolean
}

export interface Why {
  node: string
  /** As asked, with a token in it cut and without the query, which may hold secrets. */
  path: string
  /** What becomes of each part of the query. */
  query: QueryPart[]
  /** Answered without the cache. */
  page?: string
  refused?: { status: number; rule: string; why: string }
  object?: ExplainedObject
  /** Names the object here, and is what upstream is asked for. */
  key?: string
  cache?: Inspection
  /** Base URLs of who would be asked, in this order. */
  gateways: string[]
}

/** Counters since the start, so that whoever reads them twice has rates. */
export interface Top extends CacheCounts {
  node: string
  role: 'edge' | 'gateway'
  /** Monotonic ms of the node: between two reports, the time that has passed. */
  atMs: number
  /** New with every start of the process: counters begin anew. */
  instance: string
  viewers: ViewerCount[]
}

/** Of these many live ids and recordings a report tells, those that something arrived of last. */
export const maxReportedLives = 1_000
