// `onMetaData`: what an encoder says about its stream. A hint only; wild values count as not said.

import type { Parsed } from '../parsed.ts'
import { type AmfObject, isAmfObject } from '../rtmp/amf-value.ts'
import { readAmf0 } from '../rtmp/amf0.ts'

export interface StreamMetadata {
  width?: number
  height?: number
  framesPerSecond?: number
  videoBitsPerSecond?: number
  audioBitsPerSecond?: number
  audioSampleRate?: number
  audioChannels?: number
  /** Name of the program that encodes. */
  encoder?: string
}

const maxEncoderCharacters = 128

/** `payload` as in a `data` message: the string `onMetaData`, then an object or an ECMA array. */
export function readMetadata(payload: Buffer): Parsed<StreamMetadata> {
  const read = readAmf0(payload)
  if ('fault' in read) return read
  const [name, object] = read.value
  if (name !== 'onMetaData') return { fault: 'data that is not onMetaData' }
  if (!isAmfObject(object)) return { fault: 'onMetaData without values' }
  const out: StreamMetadata = {}
  const set = (to: Exclude<keyof StreamMetadata, 'encoder'>, value: number | undefined) => {
    if (value !== undefined) out[to] = value
  }
  set('width', numberIn(object, 'width', 1, 65_535))
  set('height', numberIn(object, 'height', 1, 65_535))
  set('framesPerSecond', numberIn(object, 'framerate', 0.01, 1_000))
  set('videoBitsPerSecond', thousandfold(numberIn(object, 'videodatarate', 0.001, 10_000_000)))
  set('audioBitsPerSecond', thousandfold(numberIn(object, 'audiodatarate', 0.001, 100_000)))
  set('audioSampleRate', numberIn(object, 'audiosamplerate', 1, 1_000_000))
  set('audioChannels', channelsOf(object))
  if (typeof object.encoder === 'string') {
    out.encoder = object.encoder.slice(0, maxEncoderCharacters)
  }
  return { value: out }
}

function numberIn(object: AmfObject, key: string, min: number, max: number): number | undefined {
  const value = object[key]
  return typeof value === 'number' && value >= min && value <= max ? value : undefined
}

/** Data rates are told in kilobits. */
function thousandfold(kilobits: number | undefined): number | undefined {
  return kilobits === undefined ? undefined : kilobits * 1000
}

function channelsOf(object: AmfObject): number | undefined {
  const channels = numberIn(object, 'audiochannels', 1, 64)
  if (channels !== undefined) return channels
  return typeof object.stereo === 'boolean' ? (object.stereo ? 2 : 1) : undefined
}
