// One run of a publisher's media on its way into the packager: source video and AAC-LC as they are, the rungs
// through the ladder's ffmpeg. A run is one take of the broadcast, or several, one after the other, when what is
// made changes on the way:
//
// - `source-keyframes`: the source is copied, and its keyframes are where segments are cut, in the rungs too.
// - `own-keyframes`: the source's keyframes lie too far apart, or its picture does not play everywhere. It is
//   encoded like the rungs, which get keyframes on a grid of our own; the lowest of them is where segments are cut.
// - `audio`: there is no picture.
//
// A take ends and another begins, with no media lost, when a rung is given up under pressure or comes back, and
// when keyframes turn out to lie too far apart. Takes of a run follow each other in time, so the time of a sample
// says to which one it belongs.
import type { Clock } from '../../common/clock.ts'
import {
  missingTicks,
  type OpenTake,
  type ResumePoint,
} from '../../common/contract/resume-point.ts'
import type { Logger } from '../../common/log.ts'
import type { ProcessGuard } from '../../common/process-guard.ts'
import type { Ladder } from '../../config/ladder.ts'
import { type InitTrack, parseInitSection } from '../../media/mp4/init-section.ts'
import { writeInitSection } from '../../media/mp4/init-writer.ts'
import type { MediaSample, TrackConfig } from '../../media/mp4/track.ts'
import type { Packager } from '../packager/packager.ts'
import type { PlannedRendition, TakePlan } from '../packager/take-state.ts'
import { gridToleranceTicks } from './encoder-args.ts'
import type { InputTracks } from './input-check.ts'
import type { InputSample } from './input-reader.ts'
import { type PlannedVideo, planVideo } from './ladder.ts'
import { LiveLadder } from './live-ladder.ts'
import { audioConfigOf, SampleClock, type TimedSample, videoConfigOf } from './sample-clock.ts'
import type { SourceMark } from './source-marks.ts'

export interface MediaRunOptions {
  packager: Packager
  tracks: InputTracks
  ladder: Ladder
  /** The publisher's keyframes were found too far apart before. */
  hasLongGop: boolean
  /** 0 where it is not known. */
  sourceBitsPerSecond: number
  framesPerSecond: number | undefined
  /** Where the run's first sample lies on the timeline of the broadcast. */
  originSeconds: number
  segmentSeconds: number
  stallMs: number
  ffmpeg: string
  guard: ProcessGuard
  clock: Clock
  log: Logger
  nextTake: () => { name: string; number: number; epoch: number }
  /** False for a moment after a standstill: what comes then waits for `release`. */
  mayPublish: () => boolean
  /** Another transcoder was in the run, and has left a take open, to go on in. */
  resume?: { point: ResumePoint; epoch: number } | undefined
  /** Where the source can be entered: at its keyframes, without a picture anywhere. */
  onEntry: (mark: SourceMark) => void
  onRestart: (reason: 'crashed' | 'stalled' | 'broken' | 'keyframes' | 'pressure') => void
  /** The source is encoded from now on: its keyframes lie too far apart. */
  onLongGop: () => void
  /** ffmpeg cannot be kept running on this input. */
  onFailed: (detail: string) => void
}

interface RunTake {
  name: string
  /** 90 kHz: the first sample of the take lies here or later. */
  fromTicks: number
  /** A picture so much before it is its first one. */
  toleranceTicks: number
  renditions: readonly PlannedRendition[]
}

const audioName = 'audio'
const videoTimescale = 90_000

export class MediaRun {
  readonly #options: MediaRunOptions
  readonly #log: Logger
  readonly #samples: SampleClock
  readonly #takes: RunTake[] = []
  readonly #inits = new Map<string, { bytes: Buffer; track: InitTrack }>()
  #cutting: TakePlan['cutting']
  #planned: readonly PlannedVideo[]
  #ladder: LiveLadder | undefined
  /** Ladders that still deliver the tail of an earlier take. */
  readonly #leaving = new Set<Promise<void>>()
  /** Since the source's last keyframe, while it is copied: an ffmpeg that is to encode it is fed with it. */
  #kept: { kind: 'video' | 'audio'; sample: MediaSample }[] = []
  /** What is to be made from the next keyframe on, and whether ffmpeg has to change for it. */
  #change: { planned: readonly PlannedVideo[]; isReturn: boolean } | undefined
  /** Where the ladder makes keyframes, unless it follows the source's. */
  #grid = { firstTicks: 0, everyTicks: 0, toleranceTicks: gridToleranceTicks }
  #headTicks = 0
  /** Came while nothing might be published. */
  #waiting: { rendition: string; sample: MediaSample }[] = []
  #isOver = false

  constructor(options: MediaRunOptions) {
    this.#options = options
    this.#log = options.log
    const { tracks, originSeconds, resume } = options
    this.#samples = new SampleClock({ tracks, originSeconds, resume: resume?.point.clock })
    const [left] = resume?.point.packaging.openTakes ?? []
    const hasLongGop = left ? left.plan.cutting === 'own-keyframes' : options.hasLongGop
    const canCopy = tracks.video?.isWidelyPlayable === true && !hasLongGop
    this.#cutting = !tracks.video ? 'audio' : canCopy ? 'source-keyframes' : 'own-keyframes'
    this.#planned = this.#plan(canCopy)
    if (tracks.audio && this.#copiesAudio) this.#keepInit(audioName, audioConfigOf(tracks.audio))
    if (this.#source) this.#keepInit(this.#source.name, videoConfigOf(tracks.video!))
    if (resume && left && this.#canMake(left)) this.#goOnIn(left, resume.epoch)
    else {
      const fromTicks = Math.round(originSeconds * videoTimescale)
      this.#placeGrid(fromTicks)
      this.#startTake(fromTicks, false)
      this.#startLadder(fromTicks)
    }
  }

  /** Renditions of the picture that are being made, from the tallest down. */
  get video(): readonly PlannedVideo[] {
    return this.#planned
  }

  get pid(): number | undefined {
    return this.#ladder?.pid
  }

  /** How far the rungs are behind the source; 0 where nothing is encoded. */
  get lagSeconds(): number {
    return this.#ladder?.lagSeconds ?? 0
  }

  push(input: InputSample): void {
    const before = input.entry && this.#samples.stateBefore(input.soundsAgain ?? 0)
    const timed = this.#isOver ? undefined : this.#samples.toSample(input)
    if (timed && before) this.#tellEntry(timed, { entry: input.entry!, clock: before })
    if (timed?.kind === 'video') this.#pushVideo(timed.sample)
    else if (timed) this.#pushAudio(timed.sample)
  }

  /** Nobody else has the stream: what has waited is published. */
  release(): void {
    const waiting = this.#waiting
    this.#waiting = []
    for (const { rendition, sample } of waiting) this.#package(rendition, sample)
  }

  /** The packager found no keyframe in time: nothing of the take is listed, or it has ended there. */
  onLongGop(at: { seconds: number; kind: 'first' | 'overdue' }): void {
    if (this.#isOver || this.#cutting !== 'source-keyframes') return
    this.#log.warn(
      { kind: at.kind },
      'keyframes lie too far apart to copy the source; encoding it. Set the encoder to one each 2 s',
    )
    this.#options.onRestart('keyframes')
    this.#options.onLongGop()
    const fromTicks = Math.round(at.seconds * videoTimescale)
    if (at.kind === 'first') this.#ladder?.kill()
    const before = this.#takes.map((it) => it.name)
    void this.#leaveLadder(fromTicks).then(() => this.#endTakes(before))
    this.#cutting = 'own-keyframes'
    // An encoder of ours has other parameter sets than the publisher's.
    if (this.#source) this.#inits.delete(this.#source.name)
    this.#planned = this.#plan(false)
    this.#change = undefined
    this.#placeGrid(fromTicks)
    this.#startTake(fromTicks, false)
    this.#startLadder(fromTicks)
    for (const { kind, sample } of this.#kept) {
      if (kind === 'video' || !this.#copiesAudio) this.#ladder?.push(kind, sample)
      else if (this.#ticksOf(audioName, sample) >= fromTicks) this.#package(audioName, sample)
    }
    this.#kept = []
  }

  /** All that was pushed is packaged; resolves when nothing more will come. */
  async finish(): Promise<void> {
    this.#isOver = true
    await Promise.all([this.#leaveLadder(), ...this.#leaving])
    this.release()
    this.#endTakes(this.#takes.map((it) => it.name))
  }

  /** What is still on its way through ffmpeg is lost. */
  abort(): void {
    this.#waiting = []
    this.#ladder?.kill()
  }

  #tellEntry({ kind, sample }: TimedSample, state: Pick<SourceMark, 'entry' | 'clock'>): void {
    const { tracks, onEntry } = this.#options
    const soundRate = tracks.audio?.sampleRate ?? 0
    const seconds = (sample.dts + sample.cts) / (kind === 'video' ? videoTimescale : soundRate)
    const { audio } = state.clock
    const soundSeconds = kind === 'audio' ? seconds : audio && audio.nextTicks / soundRate
    onEntry({ seconds, soundSeconds, ...state })
  }

  #pushVideo(sample: MediaSample): void {
    this.#headTicks = sample.dts
    if (this.#cutting === 'source-keyframes') {
      if (sample.isKeyframe) this.#kept = []
      this.#kept.push({ kind: 'video', sample })
      if (this.#change && sample.isKeyframe) this.#changeAt(sample.dts + sample.cts)
    }
    const ladder = this.#ladder
    if (this.#source) this.#package(this.#source.name, sample)
    // A ladder that this made begin (`onLongGop`) was fed with all that is kept: it has the sample already.
    if (ladder === this.#ladder) ladder?.push('video', sample)
  }

  #pushAudio(sample: MediaSample): void {
    if (this.#cutting === 'source-keyframes') this.#kept.push({ kind: 'audio', sample })
    if (this.#copiesAudio) this.#package(audioName, sample)
    else this.#ladder?.push('audio', sample)
  }

  /** Undefined where the publisher's picture is encoded like the rungs. */
  get #source(): PlannedVideo | undefined {
    return this.#planned.find((it) => it.isCopied)
  }

  get #encoded(): readonly PlannedVideo[] {
    return this.#planned.filter((it) => !it.isCopied)
  }

  /** AAC-LC in mono or stereo plays everywhere; the rest is encoded. */
  get #copiesAudio(): boolean {
    const { audio } = this.#options.tracks
    return audio?.objectType === 2 && audio.channels <= 2
  }

  #plan(canCopySource: boolean): readonly PlannedVideo[] {
    const { ladder, tracks, sourceBitsPerSecond } = this.#options
    if (!tracks.video) return []
    return planVideo(ladder, tracks.video, { canCopySource, sourceBitsPerSecond })
  }

  #package(rendition: string, sample: MediaSample): void {
    if (this.#waiting.length > 0 || !this.#options.mayPublish()) {
      this.#waiting.push({ rendition, sample })
      return
    }
    const ticks = this.#ticksOf(rendition, sample)
    const isVideo = rendition !== audioName
    const take =
      this.#takes.findLast((it) => it.fromTicks - (isVideo ? it.toleranceTicks : 0) <= ticks) ??
      this.#takes[0]!
    this.#options.packager.push(take.name, rendition, sample)
  }

  /** 90 kHz; of sound the middle, which decides where it belongs. */
  #ticksOf(rendition: string, sample: MediaSample): number {
    if (rendition !== audioName) return sample.dts + sample.cts
    const timescale = this.#inits.get(audioName)?.track.timescale ?? videoTimescale
    return ((sample.dts + sample.duration / 2) / timescale) * videoTimescale
  }

  #startTake(fromTicks: number, continues: boolean): void {
    const { packager, tracks, nextTake, framesPerSecond } = this.#options
    const { name, number, epoch } = nextTake()
    const renditions: PlannedRendition[] = this.#planned.map((it) => ({
      name: it.name,
      kind: 'video',
      isSource: it.isSource,
      nominalBitsPerSecond: it.isCopied ? 0 : it.videoBitsPerSecond,
    }))
    if (tracks.audio) {
      const isSource = this.#copiesAudio
      renditions.push({ name: audioName, kind: 'audio', isSource, nominalBitsPerSecond: 0 })
    }
    const leader = this.#source ?? this.#planned.at(-1)
    const cutting = this.#cutting
    const plan: TakePlan = {
      ...{ name, number, epoch, renditions, cutting, continues },
      leader: leader?.name ?? audioName,
      ...(framesPerSecond !== undefined && { framesPerSecond }),
      ...(cutting === 'own-keyframes' && { grid: this.#grid }),
    }
    const toleranceTicks = plan.grid?.toleranceTicks ?? 0
    this.#takes.push({ name, fromTicks, toleranceTicks, renditions })
    packager.startTake(plan, (fromTicks - toleranceTicks) / videoTimescale)
    this.#tellInits(name, renditions)
    this.#log.info({ take: name, cutting, renditions: renditions.map((it) => it.name) }, 'take')
  }

  /** Whether its renditions are the ones that would be made here. */
  #canMake({ plan, tracks }: OpenTake): boolean {
    const made: { name: string }[] = [...this.#planned]
    if (this.#options.tracks.audio) made.push({ name: audioName })
    return (
      plan.cutting === this.#cutting &&
      plan.renditions.every(
        ({ name }) => tracks[name]?.isOver || made.some((it) => it.name === name),
      )
    )
  }

  /** Another transcoder has begun it. */
  #goOnIn(open: OpenTake, epoch: number): void {
    const { plan, tracks, fromSeconds } = open
    const { name, renditions, grid } = plan
    this.#planned = this.#planned.filter((it) => tracks[it.name]?.isOver === false)
    if (grid) this.#grid = grid
    if (grid && this.#options.tracks.video?.isWidelyPlayable) this.#options.onLongGop()
    const toleranceTicks = grid?.toleranceTicks ?? 0
    const fromTicks = Math.round(fromSeconds * videoTimescale) + toleranceTicks
    this.#takes.push({ name, fromTicks, toleranceTicks, renditions })
    this.#options.packager.startTake({ ...plan, epoch }, fromSeconds)
    this.#tellInits(name, renditions)
    this.#log.info({ take: name }, 'take goes on')
    this.#startLadder(missingTicks(open))
  }

  #tellInits(take: string, renditions: readonly PlannedRendition[]): void {
    const { packager } = this.#options
    for (const [rendition, { bytes, track }] of this.#inits) {
      if (renditions.some((it) => it.name === rendition)) {
        packager.setInit(take, rendition, bytes, track)
      }
    }
  }

  /** What we write we can read: both are of one house. */
  #keepInit(rendition: string, config: TrackConfig): void {
    const bytes = writeInitSection([config])
    const init = parseInitSection(bytes)
    if (init.ok) this.#inits.set(rendition, { bytes, track: init.track })
  }

  #onInit(rendition: string, bytes: Buffer, track: InitTrack): void {
    this.#inits.set(rendition, { bytes, track })
    for (const take of this.#takes) {
      if (!take.renditions.some((it) => it.name === rendition)) continue
      this.#options.packager.setInit(take.name, rendition, bytes, track)
    }
  }

  #placeGrid(firstTicks: number): void {
    const { segmentSeconds, packager } = this.#options
    const gridSeconds = packager.settings?.segmentSeconds ?? segmentSeconds
    this.#grid = { ...this.#grid, firstTicks, everyTicks: gridSeconds * videoTimescale }
  }

  #startLadder(fromTicks: number | ReadonlyMap<string, number>): void {
    const { tracks, ladder, guard, clock, log, stallMs } = this.#options
    const planned = this.#encoded
    const encodesAudio = tracks.audio !== undefined && !this.#copiesAudio
    if (planned.length === 0 && !encodesAudio) return
    const live: LiveLadder = new LiveLadder({
      ...{ planned, fromTicks, guard, clock, log, stallMs, command: this.#options.ffmpeg },
      video: tracks.video && videoConfigOf(tracks.video),
      ...(encodesAudio && { audio: audioConfigOf(tracks.audio!) }),
      encodedAudioName: audioName,
      framesPerSecond: this.#options.framesPerSecond,
      keyframes:
        this.#cutting === 'source-keyframes' ? { kind: 'source' } : { kind: 'grid', ...this.#grid },
      preset: ladder.preset,
      audioBitsPerSecond: ladder.audioBitsPerSecond,
      onInit: (rendition, bytes, track) => this.#onInit(rendition, bytes, track),
      onSample: (rendition, sample) => this.#package(rendition, sample),
      onDropped: (rendition) => this.#onDropped(rendition),
      onWanted: (rendition) => this.#onWanted(rendition),
      onRestart: (reason) => this.#options.onRestart(reason),
      onInitChanged: (rendition) => this.#onInitChanged(rendition),
      onFailed: (kind, detail) => {
        if (live === this.#ladder) this.#options.onFailed(`${kind}: ${detail}`)
      },
    })
    this.#ladder = live
  }

  /** Resolves when its tail is packaged. */
  async #leaveLadder(untilTicks?: number): Promise<void> {
    const ladder = this.#ladder
    if (!ladder) return
    this.#ladder = undefined
    ladder.finish(untilTicks)
    const { done } = ladder
    this.#leaving.add(done)
    await done
    this.#leaving.delete(done)
  }

  #endTakes(names: readonly string[]): void {
    for (const name of names) this.#options.packager.endTake(name)
  }

  /** It delivers nothing any more: gaps until the take ends, at the next cut. */
  #onDropped(rendition: string): void {
    this.#log.warn({ rendition }, 'the machine is too slow; a rendition is given up')
    this.#planned = this.#planned.filter((it) => it.name !== rendition)
    this.#options.packager.dropRendition(this.#takes.at(-1)!.name, rendition)
    this.#changeSoon({ planned: this.#planned, isReturn: false })
  }

  #onWanted(rendition: string): void {
    const full = this.#plan(this.#cutting === 'source-keyframes')
    const planned = full.filter(
      (it) => it.name === rendition || this.#planned.some((made) => made.name === it.name),
    )
    this.#log.info({ rendition }, 'the machine is fast enough again; a rendition comes back')
    this.#changeSoon({ planned, isReturn: true })
  }

  /** Its new media does not belong behind the old: gaps until the next cut, where a new take begins. */
  #onInitChanged(rendition: string): void {
    this.#inits.delete(rendition)
    this.#options.packager.dropRendition(this.#takes.at(-1)!.name, rendition)
    this.#changeSoon({ planned: this.#planned, isReturn: false })
  }

  #changeSoon(change: { planned: readonly PlannedVideo[]; isReturn: boolean }): void {
    this.#change = change
    if (this.#cutting !== 'own-keyframes') return
    const { firstTicks, everyTicks } = this.#grid
    const steps = Math.floor((this.#headTicks - firstTicks) / everyTicks) + 1
    this.#changeAt(firstTicks + Math.round(steps * everyTicks))
  }

  #changeAt(ticks: number): void {
    const { planned, isReturn } = this.#change!
    this.#change = undefined
    this.#planned = planned
    this.#startTake(ticks, true)
    if (isReturn) this.#ladder?.switchAt(ticks, this.#encoded)
  }
}
