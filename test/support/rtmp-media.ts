// Media messages as an encoder sends them, with a body that tells them apart.
import type { MediaMessage } from '../../media/rtmp/message.ts'

let serial = 0

function message(kind: MediaMessage['kind'], head: string, timestampMs: number, bytes: number) {
  const body = Buffer.alloc(Math.max(8, bytes))
  body.writeUInt32BE(serial++, 0)
  const payload = Buffer.concat([Buffer.from(head, 'hex'), body])
  return { kind, timestampMs: timestampMs >>> 0, payload } satisfies MediaMessage
}

export const rtmpMedia = {
  metadata: (ms: number) => message('data', '02000a6f6e4d65746144617461', ms, 8),
  videoHeader: (ms: number) => message('video', '1700000000', ms, 8),
  audioHeader: (ms: number) => message('audio', 'af00', ms, 8),
  keyframe: (ms: number, bytes = 8) => message('video', '1701000000', ms, bytes),
  picture: (ms: number, bytes = 8) => message('video', '2701000000', ms, bytes),
  sound: (ms: number, bytes = 8) => message('audio', 'af01', ms, bytes),
}

/** Metadata and both headers, then so many groups of a keyframe, sound and pictures, 500 ms apart. */
export function broadcast(groups: number, groupMs = 2_000, startMs = 0): MediaMessage[] {
  const { metadata, videoHeader, audioHeader, keyframe, picture, sound } = rtmpMedia
  const messages = [metadata(startMs), videoHeader(startMs), audioHeader(startMs)]
  for (let ms = 0; ms < groups * groupMs; ms += 500) {
    const at = startMs + ms
    messages.push(ms % groupMs === 0 ? keyframe(at) : picture(at), sound(at + 10))
  }
  return messages
}
