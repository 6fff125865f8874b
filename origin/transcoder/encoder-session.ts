// One ffmpeg that encodes: samples go in as fragmented MP4 on stdin, samples of each rendition come out of a pipe
// of its own.
//
// Rules:
// - Every time that comes out is one that went in: a picture keeps its presentation time to the tick, sound is
//   continuous and lies within one frame of what went in.
// - Nothing blocks: what ffmpeg does not take yet waits in memory (`bufferedBytes`); whoever feeds it decides how
//   much of that is too much (`lagSeconds`).
// - A frame comes out when the next one is encoded, because only then its duration is known. The last one gets the
//   duration that it had on the way in.
import type { Clock } from '../../common/clock.ts'
import type { Logger } from '../../common/log.ts'
import type { ProcessGuard } from '../../common/process-guard.ts'
import { FragmentReader } from '../../media/mp4/fragment-reader.ts'
import { writeFragment } from '../../media/mp4/fragment-writer.ts'
import type { InitTrack } from '../../media/mp4/init-section.ts'
import { writeInitSection } from '../../media/mp4/init-writer.ts'
import type { MediaSample, TrackConfig } from '../../media/mp4/track.ts'
import {
  type EncoderPlan,
  encodedFrameSamples,
  encodedNames,
  encodedSampleRate,
  encoderArgs,
} from './encoder-args.ts'
import { type FfmpegExit, FfmpegProcess } from './ffmpeg-process.ts'

export interface EncoderSessionOptions {
  plan: EncoderPlan
  command: string
  guard: ProcessGuard
  clock: Clock
  log: Logger
  /** Fed but without output for so long, it is killed. */
  stallMs: number
  onInit: (rendition: string, bytes: Buffer, track: InitTrack) => void
  onSample: (rendition: string, sample: MediaSample) => void
  /** All that came out has been delivered before. */
  onExit?: (exit: EncoderExit) => void
}

/** `broken`: what it wrote could not be read. */
export type EncoderExit = FfmpegExit | { kind: 'broken'; detail: string }

interface Output {
  name: string
  kind: 'video' | 'audio'
  reader: FragmentReader
  /** End of its last sample, in its own ticks. */
  headTicks: number | undefined
  /** Nothing before this is delivered. */
  fromTicks: number | undefined
  lastDuration: number
}

const videoTicksPerSecond = 90_000
/**
 * ffmpeg moves all presentation times of a track in which one lies before its decode time. Decode times are
 * therefore written so much too early; only presentation times come out again.
 */
const decodeLeadTicks = videoTicksPerSecond

export class EncoderSession {
  readonly #options: EncoderSessionOptions
  readonly #process: FfmpegProcess
  readonly #outputs: Output[]
  readonly #trackIds: { video: number; audio: number }
  readonly #exited = Promise.withResolvers<EncoderExit>()
  #sequenceNumber = 0
  /** Presentation time of the newest picture, or of the newest sound where there is none, in its own ticks. */
  #inputHead: number | undefined
  /** Of the sample at the head. */
  #inputHeadDuration = 0
  #fault: string | undefined

  static start(options: EncoderSessionOptions): EncoderSession {
    return new EncoderSession(options)
  }

  private constructor(options: EncoderSessionOptions) {
    const { plan } = options
    this.#options = options
    this.#outputs = encodedNames(plan).map((name, index) => {
      const rung = plan.video && plan.rungs[index]
      return {
        name,
        kind: rung ? 'video' : 'audio',
        reader: new FragmentReader(),
        headTicks: undefined,
        fromTicks: rung ? rung.fromTicks : plan.audioFromTicks,
        lastDuration: 0,
      }
    })
    this.#trackIds = { video: 1, audio: plan.video ? 2 : 1 }
    const { command, guard, clock, log, stallMs } = options
    this.#process = FfmpegProcess.start({
      ...{ command, guard, clock, log, stallMs },
      args: encoderArgs(plan),
      outputs: this.#outputs.map((output) => (bytes) => this.#onBytes(output, bytes)),
    })
    void this.#process.exited.then((exit) => this.#onExit(exit))
    const tracks: TrackConfig[] = []
    if (plan.video) tracks.push(plan.video)
    if (plan.audio) tracks.push(plan.audio)
    this.#process.write(writeInitSection(tracks))
  }

  get pid(): number | undefined {
    return this.#process.pid
  }

  /** Resolves once it is gone and everything it made has been delivered; never rejects. */
  get exited(): Promise<EncoderExit> {
    return this.#exited.promise
  }

  get bufferedBytes(): number {
    return this.#process.bufferedBytes
  }

  /** Presentation time of the newest picture that went in; without pictures, of the newest sound in its ticks. */
  get inputHeadTicks(): number | undefined {
    return this.#inputHead
  }

  /** End of the last sample that came out, in the ticks of that rendition. */
  outputHeadTicks(rendition: string): number | undefined {
    return this.#outputs.find((it) => it.name === rendition)?.headTicks
  }

  /** How far the slowest picture, or the sound where there is none, is behind what went in. */
  get lagSeconds(): number {
    const { plan } = this.#options
    if (this.#inputHead === undefined) return 0
    const isVideo = plan.video !== undefined
    const inputSeconds =
      this.#inputHead / (isVideo ? videoTicksPerSecond : (plan.audio?.timescale ?? 1))
    let lag = 0
    for (const output of this.#outputs) {
      if ((output.kind === 'video') !== isVideo) continue
      const head = output.headTicks ?? output.fromTicks
      if (head === undefined) continue
      const ticksPerSecond = isVideo ? videoTicksPerSecond : encodedSampleRate
      lag = Math.max(lag, inputSeconds - head / ticksPerSecond)
    }
    return lag
  }

  /** In decoding order, a keyframe first. Never blocks, never throws; does nothing after the end. */
  push(kind: 'video' | 'audio', sample: MediaSample): void {
    const { plan } = this.#options
    const track = kind === 'video' ? plan.video : plan.audio
    if (!track) return
    this.#measure(kind, sample)
    const isVideo = kind === 'video'
    const { bytes } = writeFragment({
      sequenceNumber: ++this.#sequenceNumber,
      trackId: this.#trackIds[kind],
      samples: [
        isVideo
          ? { ...sample, dts: sample.dts - decodeLeadTicks, cts: sample.cts + decodeLeadTicks }
          : sample,
      ],
    })
    this.#process.write(bytes)
  }

  /** No more input: what is inside comes out, or it is killed when that takes too long. */
  finish(): void {
    this.#process.finish()
  }

  kill(): void {
    this.#process.kill()
  }

  #measure(kind: 'video' | 'audio', sample: MediaSample): void {
    const time = sample.dts + sample.cts
    const { plan } = this.#options
    if (kind === 'video' || !plan.video) {
      if (this.#inputHead === undefined || time >= this.#inputHead) {
        this.#inputHead = time
        this.#inputHeadDuration = sample.duration
      }
    }
    for (const output of this.#outputs) {
      if (output.kind !== kind) continue
      // An encoder's priming stands before the first sound: it is not delivered.
      output.fromTicks ??=
        kind === 'video' || !plan.audio
          ? time
          : Math.round((time * encodedSampleRate) / plan.audio.timescale) - encodedFrameSamples / 2
    }
  }

  #onBytes(output: Output, bytes: Buffer): void {
    if (this.#fault !== undefined) return
    const read = output.reader.push(bytes)
    if ('fault' in read) {
      this.#fault = `${output.name}: ${read.fault}`
      this.#process.kill()
      return
    }
    for (const event of read.value) {
      if (event.kind === 'init') this.#options.onInit(output.name, event.bytes, event.track)
      else this.#onSample(output, event.sample)
    }
  }

  #onSample(output: Output, sample: MediaSample): void {
    if (output.fromTicks !== undefined && sample.dts < output.fromTicks) return
    if (output.kind === 'video' && sample.dts === this.#inputHead) {
      // The last one: the muxer could only guess how long it is.
      sample.duration = this.#inputHeadDuration || output.lastDuration || sample.duration
    }
    output.lastDuration = sample.duration
    output.headTicks = sample.dts + sample.duration
    this.#options.onSample(output.name, sample)
  }

  #onExit(exit: FfmpegExit): void {
    const told: EncoderExit =
      this.#fault === undefined ? exit : { kind: 'broken', detail: this.#fault }
    this.#options.onExit?.(told)
    this.#exited.resolve(told)
  }
}
