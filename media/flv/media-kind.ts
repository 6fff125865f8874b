// The questions that relays and the transcoder ask of a media message; what cannot be read answers no.
import type { MediaMessage } from '../rtmp/message.ts'
import { readAudioTag } from './audio-tag.ts'
import { readVideoTag } from './video-tag.ts'

/** Video that can be decoded without anything but the sequence header. */
export function isKeyframe(message: MediaMessage): boolean {
  if (message.kind !== 'video') return false
  const tag = readVideoTag(message.payload)
  return 'value' in tag && tag.value.isKeyframe
}

/** The codec's configuration, which every decoder needs before the first frame. */
export function isSequenceHeader(message: MediaMessage): boolean {
  if (message.kind === 'data') return false
  const read = message.kind === 'video' ? readVideoTag : readAudioTag
  const tag = read(message.payload)
  return 'value' in tag && tag.value.packet === 'sequence-header'
}

const onMetaData = Buffer.from('\x02\x00\x0aonMetaData', 'latin1')

export function isMetadata(message: MediaMessage): boolean {
  return (
    message.kind === 'data' &&
    message.payload.length >= onMetaData.length &&
    onMetaData.compare(message.payload, 0, onMetaData.length) === 0
  )
}
