// The recordings that this transcoder holds: found again after a restart, reported until the coordinator has
// heard of them, served as replays, deleted on call. A show that moved between transcoders leaves a recording
// on each, of the takes that it made.
import { createHash } from 'node:crypto'
import { mkdir, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { type RecordingReport, recordingReportSchema } from '../../common/contract/placement.ts'
import type { SegmentLog } from '../../common/live/segment-log.ts'
import type { Logger } from '../../common/log.ts'
import { replayPresentation, replaySpans } from '../packager/replay-spans.ts'
import { BroadcastFolder } from './broadcast-folder.ts'

/** The only thing the store asks of the coordinator. */
export interface RecordingReporter {
  /** False when it did not arrive: it is tried again later. */
  reportRecording(id: string, report: RecordingReport): Promise<boolean>
}

export interface RecordingStoreOptions {
  root: string
  nodeId: string
  reporter: RecordingReporter
  log: Logger
}

const storedSchema = z.object({ report: recordingReportSchema, isReported: z.boolean() })

/** Folders whose journals are kept in memory. */
const maxLoaded = 16

export class RecordingStore {
  readonly #root: string
  readonly #nodeId: string
  readonly #reporter: RecordingReporter
  readonly #log: Logger
  readonly #reports = new Map<string, RecordingReport>()
  readonly #unreported = new Set<string>()
  readonly #loaded = new Map<string, BroadcastFolder>()

  constructor({ root, nodeId, reporter, log }: RecordingStoreOptions) {
    this.#root = root
    this.#nodeId = nodeId
    this.#reporter = reporter
    this.#log = log
  }

  get count(): number {
    return this.#reports.size
  }

  get sizeBytes(): number {
    return [...this.#reports.values()].reduce((sum, report) => sum + report.sizeBytes, 0)
  }

  /** Lists what is kept, finishes what a crash left open, deletes what was not to be kept. */
  async open(): Promise<void> {
    await mkdir(this.#root, { recursive: true })
    for (const entry of await readdir(this.#root, { withFileTypes: true })) {
      if (!entry.isDirectory()) continue
      const path = join(this.#root, entry.name)
      // One folder that cannot be read is no reason to do without the others, nor to delete it.
      await this.#find(path).catch((err: unknown) => {
        this.#log.error({ err, path }, 'a recording cannot be read')
      })
    }
  }

  async #find(path: string): Promise<void> {
    const folder = await BroadcastFolder.load(path)
    if (!folder?.log.broadcast.isRecorded || folder.log.rows.length === 0) {
      await rm(path, { recursive: true, force: true })
      return
    }
    const stored = storedSchema.safeParse(await folder.readRecording())
    if (stored.success) this.#list(folder, stored.data.report, stored.data.isReported)
    else await this.keep(folder)
  }

  /** Takes over the folder of a broadcast that has ended. */
  async keep(folder: BroadcastFolder): Promise<RecordingReport> {
    folder.log.end()
    const report = reportOf(folder.log, this.#nodeId)
    // On a full disk it is kept all the same: the journal says everything again after a restart.
    await folder.writeRecording({ report, isReported: false }).catch((err: unknown) => {
      this.#log.warn({ err, broadcastId: report.broadcastId }, 'the report cannot be written')
    })
    this.#list(folder, report, false)
    return report
  }

  /** Gives the folder of a broadcast back that goes on after all. */
  async resume(broadcastId: string): Promise<BroadcastFolder | undefined> {
    const folder = await this.folder(recordingIdOf(broadcastId, this.#nodeId))
    if (!folder) return undefined
    this.#forget(recordingIdOf(broadcastId, this.#nodeId))
    await folder.withdrawRecording().catch((err: unknown) => {
      this.#log.warn({ err, broadcastId }, 'the report cannot be withdrawn')
    })
    folder.log.reopen()
    return folder
  }

  async folder(id: string): Promise<BroadcastFolder | undefined> {
    const report = this.#reports.get(id)
    if (!report) return undefined
    const loaded =
      this.#loaded.get(id) ?? (await BroadcastFolder.load(join(this.#root, report.broadcastId)))
    if (!loaded) return undefined
    loaded.log.end()
    this.#loaded.delete(id)
    this.#loaded.set(id, loaded)
    for (const oldest of this.#loaded.keys()) {
      if (this.#loaded.size <= maxLoaded) break
      this.#loaded.delete(oldest)
    }
    return loaded
  }

  async delete(id: string): Promise<boolean> {
    const folder = await this.folder(id)
    if (!folder) return false
    this.#forget(id)
    await folder.delete()
    return true
  }

  /** Tries once for each recording that the coordinator has not taken yet. */
  async reportPending(): Promise<void> {
    for (const id of [...this.#unreported]) {
      const report = this.#reports.get(id)
      if (!report) continue
      if (!(await this.#reporter.reportRecording(id, report))) {
        this.#log.warn({ recordingId: id }, 'recording not reported yet')
        continue
      }
      if (!this.#unreported.delete(id)) continue
      const folder = await this.folder(id)
      await folder?.writeRecording({ report, isReported: true }).catch((err: unknown) => {
        this.#log.warn({ err, recordingId: id }, 'the report cannot be written')
      })
    }
  }

  #list(folder: BroadcastFolder, report: RecordingReport, isReported: boolean): void {
    const id = recordingIdOf(folder.log.broadcast.broadcastId, this.#nodeId)
    this.#reports.set(id, report)
    this.#loaded.set(id, folder)
    if (!isReported) this.#unreported.add(id)
  }

  #forget(id: string): void {
    this.#reports.delete(id)
    this.#unreported.delete(id)
    this.#loaded.delete(id)
  }
}

/** The same after every restart of the node: a UUID of version 8 over both (RFC 9562 §5.8). */
export function recordingIdOf(broadcastId: string, nodeId: string): string {
  const bytes = createHash('sha256').update(`${broadcastId} ${nodeId}`).digest().subarray(0, 16)
  bytes[6] = (bytes[6]! & 0x0f) | 0x80
  bytes[8] = (bytes[8]! & 0x3f) | 0x80
  const hex = bytes.toString('hex')
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')
}

export function reportOf(log: SegmentLog, nodeId: string): RecordingReport {
  const spans = replaySpans(log)
  const { video, audio } = replayPresentation(spans)
  return {
    liveId: log.broadcast.liveId,
    broadcastId: log.broadcast.broadcastId,
    transcoder: nodeId,
    startedAt: log.broadcast.startedAtMs,
    durationMs: Math.round(spans.reduce((sum, it) => sum + it.durationSeconds, 0) * 1000),
    sizeBytes: log.sizeBytes,
    renditions: [...video, ...(audio ? [audio] : [])].map((it) => ({
      name: it.name,
      width: it.width,
      height: it.height,
      framesPerSecond: it.framesPerSecond,
      bitsPerSecond: Math.round(it.own.average),
      codecs: it.codecs.join(','),
      isSource: it.isSource,
    })),
  }
}
