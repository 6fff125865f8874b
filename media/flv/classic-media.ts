// Enhanced RTMP v2 may carry H.264 and AAC too; everything behind the gateway knows only their classic tags.
import type { Parsed } from '../parsed.ts'
import type { MediaMessage } from '../rtmp/message.ts'
import { type AudioTag, readAudioTag } from './audio-tag.ts'
import { readVideoTag, type VideoTag } from './video-tag.ts'

/**
 * The same media in classic tags; `undefined` where those have no place for it (colour information, channel
 * layout). Codecs that have no classic tag pass unchanged: whether they are accepted is not decided here. A
 * fault is what cannot be passed on at all: broken headers, several tracks.
 */
export function classicMedia(message: MediaMessage): Parsed<MediaMessage | undefined> {
  if (message.kind === 'data') return { value: message }
  if (message.kind === 'video') {
    const tag = readVideoTag(message.payload)
    if ('fault' in tag) return tag
    return { value: classicVideo(message, tag.value) }
  }
  const tag = readAudioTag(message.payload)
  if ('fault' in tag) return tag
  return { value: classicAudio(message, tag.value) }
}

function classicVideo(message: MediaMessage, tag: VideoTag): MediaMessage | undefined {
  if (!tag.isEnhanced) return message
  if (tag.packet === 'command' || tag.packet === 'metadata') return undefined
  if (tag.codec !== 'avc') return message
  const isIndependent = tag.isKeyframe || tag.packet !== 'frames'
  const head = Buffer.alloc(5)
  head[0] = isIndependent ? 0x17 : 0x27
  head[1] = tag.packet === 'sequence-header' ? 0 : tag.packet === 'frames' ? 1 : 2
  head.writeIntBE(tag.compositionTimeMs, 2, 3)
  return { ...message, payload: Buffer.concat([head, message.payload.subarray(tag.bodyOffset)]) }
}

function classicAudio(message: MediaMessage, tag: AudioTag): MediaMessage | undefined {
  if (!tag.isEnhanced) return message
  if (tag.packet === 'channel-layout') return undefined
  if (tag.codec !== 'aac') return message
  // Classic AAC has no end mark. Its rate, size and channel bits are fixed; the sequence header tells.
  if (tag.packet === 'sequence-end') return undefined
  const head = Buffer.from([0xaf, tag.packet === 'sequence-header' ? 0 : 1])
  return { ...message, payload: Buffer.concat([head, message.payload.subarray(tag.bodyOffset)]) }
}
