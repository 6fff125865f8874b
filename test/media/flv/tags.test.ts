import fc from 'fast-check'
import { expect, test } from 'vitest'
import { readAudioTag } from '../../../media/flv/audio-tag.ts'
import { classicMedia } from '../../../media/flv/classic-media.ts'
import { isKeyframe, isMetadata, isSequenceHeader } from '../../../media/flv/media-kind.ts'
import { readVideoTag } from '../../../media/flv/video-tag.ts'
import type { MediaMessage } from '../../../media/rtmp/message.ts'
import { hex } from '../rtmp/wire.ts'

const fourCc = (text: string) => Buffer.from(text).toString('hex')
const video = (bytes: Buffer): MediaMessage => ({ kind: 'video', timestampMs: 7, payload: bytes })
const audio = (bytes: Buffer): MediaMessage => ({ kind: 'audio', timestampMs: 7, payload: bytes })

test.each([
  [
    'AVC sequence header',
    '17 00 000000 01',
    {
      codec: 'avc',
      packet: 'sequence-header',
      isKeyframe: false,
      bodyOffset: 5,
      isEnhanced: false,
    },
  ],
  [
    'AVC keyframe',
    '17 01 000028 00',
    { codec: 'avc', packet: 'frames', isKeyframe: true, compositionTimeMs: 40 },
  ],
  [
    'AVC frame shown before it is decoded',
    '27 01 fffff6 00',
    { isKeyframe: false, compositionTimeMs: -10 },
  ],
  ['AVC end of sequence', '17 02 000000', { packet: 'sequence-end', isKeyframe: false }],
  ['a seek mark', '57 00', { packet: 'command', isKeyframe: false }],
  ['HEVC of before Enhanced RTMP', '1c 01 000000', { codec: 'hevc', isKeyframe: true }],
  ['VP6', '14 00', { codec: 'other', packet: 'frames', isKeyframe: true, bodyOffset: 1 }],
  [
    'enhanced AVC sequence header',
    `90 ${fourCc('avc1')} 01`,
    { codec: 'avc', packet: 'sequence-header', bodyOffset: 5, isEnhanced: true },
  ],
  [
    'enhanced AVC keyframe',
    `91 ${fourCc('avc1')} 000028 aa`,
    { codec: 'avc', packet: 'frames', isKeyframe: true, compositionTimeMs: 40, bodyOffset: 8 },
  ],
  [
    'enhanced AVC frame without composition time',
    `a3 ${fourCc('avc1')} aa`,
    { packet: 'frames', isKeyframe: false, compositionTimeMs: 0, bodyOffset: 5 },
  ],
  [
    'HEVC',
    `91 ${fourCc('hvc1')} fffff6 aa`,
    { codec: 'hevc', isKeyframe: true, compositionTimeMs: -10, bodyOffset: 8 },
  ],
  ['AV1', `91 ${fourCc('av01')} aa`, { codec: 'av1', isKeyframe: true, bodyOffset: 5 }],
  ['VP9 header', `90 ${fourCc('vp09')} aa`, { codec: 'vp9', packet: 'sequence-header' }],
  ['VP8', `91 ${fourCc('vp08')} aa`, { codec: 'vp8' }],
  ['VVC', `91 ${fourCc('vvc1')} 000000 aa`, { codec: 'vvc', bodyOffset: 8 }],
  ['an unknown codec', `91 ${fourCc('abcd')} aa`, { codec: 'other' }],
  ['colour information', `94 ${fourCc('hvc1')} 02`, { packet: 'metadata' }],
  ['an enhanced command', 'd1 00', { packet: 'command' }],
  [
    'a modifier of 3 bytes',
    `97 02 000102 01 ${fourCc('avc1')} 000000 aa`,
    { codec: 'avc', packet: 'frames', isKeyframe: true, bodyOffset: 13 },
  ],
  [
    'a modifier of 257 bytes',
    `97 ff 0100 ${'00'.repeat(257)} 01 ${fourCc('av01')}`,
    { codec: 'av1', packet: 'frames' },
  ],
])('video: %s', (_, bytes, expected) => {
  expect(readVideoTag(hex(bytes))).toMatchObject({ value: expected })
})

test.each([
  ['R30 nothing', ''],
  ['R30 one byte', '17'],
  ['R30 half a header', '17 01 0000'],
  ['R30 unknown AVC packet', '17 09 000000'],
  ['R30 four letters and nothing', '91 6876 31'],
  ['R30 HEVC without composition time', `91 ${fourCc('hvc1')}`],
  ['R30 a chain of modifiers', `97 ${'00 00 07'.repeat(50)} 01 ${fourCc('avc1')} 000000`],
  ['R30 a modifier longer than the message', '97 ff ffff 00'],
  ['R30 several tracks', `96 00 ${fourCc('avc1')} 00`],
  ['R30 255 tracks', `96 2f ${`${fourCc('avc1')} ff 000001 aa`.repeat(255)}`],
  ['unknown enhanced packet', `98 ${fourCc('avc1')}`],
])('video: %s is a fault and neither keyframe nor header', (_, bytes) => {
  const payload = hex(bytes)
  expect(readVideoTag(payload)).toEqual({ fault: expect.any(String) })
  expect(classicMedia(video(payload))).toEqual({ fault: expect.any(String) })
  expect(isKeyframe(video(payload))).toBe(false)
  expect(isSequenceHeader(video(payload))).toBe(false)
})

test.each([
  ['AAC sequence header', 'af 00 1190', { codec: 'aac', packet: 'sequence-header', bodyOffset: 2 }],
  ['AAC frame', 'af 01 21', { codec: 'aac', packet: 'frames', bodyOffset: 2 }],
  ['MP3', '2f ff', { codec: 'mp3', packet: 'frames', bodyOffset: 1 }],
  ['MP3 at 8 kHz', 'ef ff', { codec: 'mp3' }],
  ['Speex', 'b2 00', { codec: 'other' }],
  [
    'enhanced AAC header',
    `90 ${fourCc('mp4a')} 1190`,
    { codec: 'aac', packet: 'sequence-header', bodyOffset: 5 },
  ],
  ['Opus', `91 ${fourCc('Opus')} aa`, { codec: 'opus', packet: 'frames' }],
  ['FLAC', `91 ${fourCc('fLaC')} aa`, { codec: 'flac' }],
  ['AC-3', `91 ${fourCc('ac-3')} aa`, { codec: 'ac3' }],
  ['channel layout', `94 ${fourCc('Opus')} 0102`, { packet: 'channel-layout' }],
])('audio: %s', (_, bytes, expected) => {
  expect(readAudioTag(hex(bytes))).toMatchObject({ value: expected })
})

test.each([
  ['R30 nothing', ''],
  ['R30 one byte', 'af'],
  ['R30 unknown AAC packet', 'af 02'],
  ['R30 several tracks', `95 00 ${fourCc('mp4a')}`],
  ['R30 half of four letters', '91 6d70'],
])('audio: %s is a fault', (_, bytes) => {
  expect(readAudioTag(hex(bytes))).toEqual({ fault: expect.any(String) })
  expect(classicMedia(audio(hex(bytes)))).toEqual({ fault: expect.any(String) })
})

test.each<[string, MediaMessage, string | undefined]>([
  ['AVC header', video(hex(`90 ${fourCc('avc1')} 0164`)), '1700000000 0164'],
  ['AVC keyframe', video(hex(`91 ${fourCc('avc1')} 000028 aabb`)), '1701000028 aabb'],
  [
    'AVC frame with a negative time',
    video(hex(`a1 ${fourCc('avc1')} fffff6 aabb`)),
    '2701fffff6 aabb',
  ],
  ['AVC frame without a time', video(hex(`a3 ${fourCc('avc1')} aabb`)), '2701000000 aabb'],
  ['AVC end', video(hex(`92 ${fourCc('avc1')}`)), '1702000000'],
  ['AVC behind a modifier', video(hex(`97 00 00 01 ${fourCc('avc1')} 000000 aa`)), '1701000000 aa'],
  ['AAC header', audio(hex(`90 ${fourCc('mp4a')} 1190`)), 'af00 1190'],
  ['AAC frame', audio(hex(`91 ${fourCc('mp4a')} 21`)), 'af01 21'],
  ['colour information', video(hex(`94 ${fourCc('avc1')} 02`)), undefined],
  ['a command', video(hex('d1 00')), undefined],
  ['the end of AAC', audio(hex(`92 ${fourCc('mp4a')}`)), undefined],
])('enhanced %s becomes classic', (_, message, expected) => {
  const read = classicMedia(message)
  const payload = expected === undefined ? undefined : hex(expected)
  expect(read).toEqual({ value: payload && { ...message, payload } })
})

test.each([
  ['classic AVC', video(hex('1701000000aa'))],
  ['classic AAC', audio(hex('af01'))],
  ['HEVC', video(hex(`91 ${fourCc('hvc1')} 000000 aa`))],
  ['Opus', audio(hex(`91 ${fourCc('Opus')} aa`))],
  ['metadata', { kind: 'data' as const, timestampMs: 0, payload: hex('02000a') }],
])('%s passes as the same object', (_, message) => {
  expect(classicMedia(message)).toHaveProperty('value', message)
})

test('keyframes, sequence headers and metadata are told apart', () => {
  const metadata = hex('02 000a 6f6e4d65746144617461 05')
  const kinds = (message: MediaMessage) => [
    isKeyframe(message),
    isSequenceHeader(message),
    isMetadata(message),
  ]
  expect(kinds(video(hex('17 00 000000 01')))).toEqual([false, true, false])
  expect(kinds(video(hex('17 01 000000 01')))).toEqual([true, false, false])
  expect(kinds(video(hex('27 01 000000 01')))).toEqual([false, false, false])
  expect(kinds(audio(hex('af 00 1190')))).toEqual([false, true, false])
  expect(kinds(audio(hex('af 01 21')))).toEqual([false, false, false])
  expect(kinds({ kind: 'data', timestampMs: 0, payload: metadata })).toEqual([false, false, true])
  expect(kinds({ kind: 'audio', timestampMs: 0, payload: metadata })[2]).toBe(false)
})

test('whatever the bytes, a tag reads or is a fault and the body lies inside', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), (array) => {
      const bytes = Buffer.from(array)
      for (const tag of [readVideoTag(bytes), readAudioTag(bytes)]) {
        if ('value' in tag) expect(tag.value.bodyOffset).toBeLessThanOrEqual(bytes.length)
      }
      classicMedia(video(bytes))
      classicMedia(audio(bytes))
    }),
    { numRuns: 2000 },
  )
})
