// One take: an ffmpeg that is fed one run of media, and the recorder that commits what it writes.

import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { Clock } from '../../common/clock.ts'
import type { Logger } from '../../common/log.ts'
import type { ProcessGuard } from '../../common/process-guard.ts'
import type { Ladder } from '../../config/ladder.ts'
import type { BroadcastFolder } from '../archive/broadcast-folder.ts'
import type { CollectedStream } from '../packager/segment-collector.ts'
import type { LogRow } from '../packager/segment-log.ts'
import { TakeRecorder } from '../packager/take-recorder.ts'
import { ffmpegArgs } from './ffmpeg-args.ts'
import { type FfmpegExit, FfmpegProcess, type FfmpegProgress } from './ffmpeg-process.ts'
import { flvOpening, flvSample } from './flv-writer.ts'
import type { InputTracks } from './input-check.ts'
import { type InputSample, runLeadMs } from './input-reader.ts'
import { type PlannedVideo, planVideo } from './ladder.ts'

export interface TakeOptions {
  folder: BroadcastFolder
  number: number
  epoch: number
  tracks: InputTracks
  ladder: Ladder
  canCopySource: boolean
  sourceBitsPerSecond: number
  /** Where the run's first sample lies on the timeline of the broadcast. */
  originSeconds: number
  segmentSeconds: number
  stallMs: number
  ffmpeg: string
  guard: ProcessGuard
  clock: Clock
  log: Logger
  /** The take before this one has committed its rows. */
  after: Promise<void>
  onRow: (row: LogRow) => void
  onProgress: (progress: FfmpegProgress) => void
  /** Called once, unless the take was finished or aborted on purpose. */
  onFailure: (kind: 'crashed' | 'stalled' | 'broken', detail: string) => void
}

const audioName = 'audio'

export class Take {
  readonly video: readonly PlannedVideo[]
  readonly tracks: InputTracks
  readonly #options: TakeOptions
  readonly #recorder: TakeRecorder
  readonly #workFolder: string
  #ready: Promise<void> = Promise.resolve()
  readonly #done = Promise.withResolvers<void>()
  #process: FfmpegProcess | undefined
  /** Written before ffmpeg has been started. */
  #early: Buffer[] = []
  #isEnding = false
  #isAborted = false
  #isFull = false
  #drainWaiters: (() => void)[] = []

  constructor(options: TakeOptions) {
    this.#options = options
    this.tracks = options.tracks
    this.video = options.tracks.video
      ? planVideo(options.ladder, options.tracks.video, options)
      : []
    const folder = `${options.epoch}-${options.number}`
    this.#workFolder = join(options.folder.path, folder, 'work')
    this.#recorder = new TakeRecorder({
      folder: options.folder,
      take: {
        name: `${options.folder.log.broadcast.broadcastTag}-${options.number}`,
        number: options.number,
        folder,
      },
      workFolder: this.#workFolder,
      streams: this.#streams(),
      clock: options.clock,
      after: options.after,
      onRow: options.onRow,
      onBroken: (reason) => this.#fail('broken', reason),
    })
  }

  start(): void {
    this.#ready = this.#start()
  }

  get number(): number {
    return this.#options.number
  }

  get rowCount(): number {
    return this.#recorder.rowCount
  }

  get pid(): number | undefined {
    return this.#process?.pid
  }

  /** Resolves when ffmpeg is gone and all rows are committed. */
  get done(): Promise<void> {
    return this.#done.promise
  }

  write(sample: InputSample): void {
    if (this.#isEnding) return
    const bytes = flvSample(sample)
    if (!this.#process) this.#early.push(bytes)
    else if (!this.#process.write(bytes)) this.#isFull = true
  }

  /** Resolves when more can be written; at once when nothing is in the way. */
  async drained(): Promise<void> {
    await this.#ready
    if (!this.#isFull || this.#isEnding) return
    await new Promise<void>((resolve) => this.#drainWaiters.push(resolve))
  }

  /** The run is over: everything fed so far becomes segments. */
  finish(): Promise<void> {
    this.#end(() => this.#process?.finish())
    return this.done
  }

  /** What is not committed yet is lost. */
  abort(): Promise<void> {
    this.#isAborted = true
    this.#end(() => this.#process?.kill())
    return this.done
  }

  #streams(): CollectedStream[] {
    const streams: CollectedStream[] = this.video.map((it) => ({
      name: it.name,
      kind: 'video',
      isSource: it.isSource,
      nominalBitsPerSecond: it.isCopied ? 0 : it.videoBitsPerSecond,
    }))
    if (this.tracks.audio) {
      streams.push({
        name: audioName,
        kind: 'audio',
        isSource: this.#copiesAudio,
        nominalBitsPerSecond: 0,
      })
    }
    return streams
  }

  get #copiesAudio(): boolean {
    const audio = this.tracks.audio
    // AAC-LC in mono or stereo plays everywhere; the rest is encoded.
    return audio?.objectType === 2 && audio.channels <= 2
  }

  async #start(): Promise<void> {
    const { options, tracks } = { options: this.#options, tracks: this.tracks }
    try {
      await mkdir(this.#workFolder, { recursive: true })
    } catch (err) {
      this.#fail('crashed', String(err))
    }
    if (this.#isAborted) return this.#closeRecorder()
    const process = FfmpegProcess.start({
      command: options.ffmpeg,
      args: ffmpegArgs({
        video: this.video,
        audio: tracks.audio && {
          isCopied: this.#copiesAudio,
          bitsPerSecond: options.ladder.audioBitsPerSecond,
        },
        preset: options.ladder.preset,
        segmentSeconds: options.segmentSeconds,
        timelineOffsetSeconds: options.originSeconds - runLeadMs / 1000,
      }),
      folder: this.#workFolder,
      guard: options.guard,
      clock: options.clock,
      log: options.log,
      stallMs: options.stallMs,
      onProgress: options.onProgress,
    })
    this.#process = process
    process.onDrain(() => this.#release())
    void process.exited.then((exit) => this.#onExit(exit))
    process.write(flvOpening(tracks))
    for (const bytes of this.#early) if (!process.write(bytes)) this.#isFull = true
    this.#early = []
    this.#recorder.start()
    if (this.#isEnding) process.finish()
  }

  #onExit(exit: FfmpegExit): void {
    const wasExpected = this.#isEnding
    this.#isEnding = true
    this.#release()
    void this.#closeRecorder()
    if (exit.kind !== 'ended' && !(wasExpected && exit.kind === 'killed')) {
      this.#options.log.warn({ take: this.number, ...exit }, 'ffmpeg ended badly')
    }
    if (!wasExpected) {
      this.#options.onFailure(exit.kind === 'stalled' ? 'stalled' : 'crashed', exit.detail)
    }
  }

  async #closeRecorder(): Promise<void> {
    await this.#recorder.close()
    this.#done.resolve()
  }

  #fail(kind: 'crashed' | 'broken', detail: string): void {
    if (this.#isEnding) return
    void this.abort()
    this.#options.onFailure(kind, detail)
  }

  #end(stop: () => void): void {
    this.#isEnding = true
    stop()
    this.#release()
  }

  #release(): void {
    this.#isFull = false
    const waiters = this.#drainWaiters
    this.#drainWaiters = []
    for (const resolve of waiters) resolve()
  }
}
