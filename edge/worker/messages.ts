// What the main thread of an edge and its workers tell each other. Everything is plain data.
import type { MessagePort } from 'node:worker_threads'
import type { Top, Why } from '../../common/cache/cache-report.ts'
import type { ClusterSnapshot } from '../../common/contract/membership.ts'
import type { Refusal } from '../../common/contract/refusal.ts'
import type { LogFormat } from '../../common/log.ts'
import type { MetricsJson } from '../../common/metrics.ts'
import type { ResolvedEdgeConfig } from '../../config/load.ts'
import type { AdmissionMemory } from '../admission/admission-tables.ts'
import type { CertificatePair } from '../front/certificate-set.ts'
import type { FrontDoorAddress } from '../front/front-door.ts'
import type { SeenViewers } from './viewer-reports.ts'

/** With which a worker starts. */
export interface WorkerStart {
  /** From 0 on; the same for the worker that takes the place of one that died. */
  index: number
  workers: number
  config: ResolvedEdgeConfig
  log: { level: string; format: LogFormat; lineLock: SharedArrayBuffer }
  certificates: CertificatePair[]
  ticketKeys: Uint8Array
  viewerSalt: string
  admission: AdmissionMemory
  /** Held by the worker that begins a file of the access log. */
  accessLogLock: SharedArrayBuffer
  reusePort: boolean
  isDraining: boolean
}

/** What one worker has learned and all have to know. */
export type SharedFact =
  /** A wrong key came from this address. */
  | { fact: 'failed-key'; address: string }
  /** A key was refused after its publish had started; its bandwidth test is over. */
  | { fact: 'verdict'; keyDigest: string; refusal: Refusal }
  | { fact: 'test-result'; keyDigest: string; refusal: Refusal }

/** Operations that the main thread asks of all workers; others may be added. */
export interface WorkerOperations {
  metrics: { args: undefined; result: MetricsJson }
  purge: { args: { prefix: string }; result: number }
  why: { args: { url: string }; result: Why }
  top: { args: { instance: string }; result: Top }
  'reopen-log': { args: undefined; result: boolean }
  'reload-pages': { args: undefined; result: boolean }
  /** Another process has the ports: closes its own, and leaves what is connected as it is. */
  'stop-listening': { args: undefined; result: boolean }
  /** After that: answers when nobody is left, or the limits are over. */
  'hand-over': { args: ResolvedEdgeConfig['drain']; result: boolean }
  /** Nobody takes over: no new connections, publishers go one by one for a short time. */
  'end-soon': { args: ResolvedEdgeConfig['drain']; result: boolean }
  /** Lets publishers go and connections end; objects are still filled for the other workers. */
  close: { args: undefined; result: boolean }
}
export type Operation = keyof WorkerOperations

export type ToWorker =
  | { kind: 'peer'; index: number; port: MessagePort }
  | { kind: 'peer-gone'; index: number }
  /** Begins to listen: at the ports of the config, or at those that another worker was given. */
  | { kind: 'listen'; ports: FrontDoorAddress | undefined }
  | { kind: 'snapshot'; snapshot: ClusterSnapshot }
  | { kind: 'draining' }
  | { kind: 'certificates'; pairs: CertificatePair[] }
  | { kind: 'log-level'; level: string }
  | { kind: 'fact'; fact: SharedFact }
  | { kind: 'call'; id: number; op: Operation; args: unknown }
  /** Ends in order; the worker leaves by itself. */
  | { kind: 'stop' }

export interface WorkerStats {
  /** By its clock. */
  atMs: number
  streams: number
  /** Totals since the start of the worker. */
  bytesIn: number
  bytesOut: number
  /** Seen since the last time. */
  viewers: SeenViewers
}

export type FromWorker =
  /** All is there but the listeners; peers may come. */
  | { kind: 'prepared' }
  | { kind: 'listening'; address: FrontDoorAddress }
  /** It could not start. */
  | { kind: 'failed'; message: string; code: string | undefined }
  | { kind: 'stats'; stats: WorkerStats }
  | { kind: 'fact'; fact: SharedFact }
  | { kind: 'answer'; id: number; result: unknown }
  | { kind: 'no-answer'; id: number; error: string }
