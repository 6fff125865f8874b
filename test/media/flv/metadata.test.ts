import { expect, test } from 'vitest'
import { readMetadata } from '../../../media/flv/metadata.ts'
import type { AmfObject } from '../../../media/rtmp/amf-value.ts'
import { writeAmf0, writeAmf0EcmaArray } from '../../../media/rtmp/amf0.ts'

const payload = (object: AmfObject) =>
  Buffer.concat([writeAmf0('onMetaData'), writeAmf0EcmaArray(object)])

test('what an encoder says is read', () => {
  expect(
    readMetadata(
      payload({
        width: 1280,
        height: 720,
        framerate: 29.97,
        videodatarate: 2500,
        audiodatarate: 160,
        audiosamplerate: 48_000,
        stereo: true,
        encoder: 'obs-output module',
      }),
    ),
  ).toEqual({
    value: {
      width: 1280,
      height: 720,
      framesPerSecond: 29.97,
      videoBitsPerSecond: 2_500_000,
      audioBitsPerSecond: 160_000,
      audioSampleRate: 48_000,
      audioChannels: 2,
      encoder: 'obs-output module',
    },
  })
})

test.each<[string, AmfObject]>([
  ['R30 width 1e308', { width: 1e308 }],
  ['R30 width NaN', { width: NaN }],
  ['R30 framerate 0', { framerate: 0 }],
  ['R30 framerate -1', { framerate: -1 }],
  ['R30 framerate NaN', { framerate: NaN }],
  ['R30 data rate Infinity', { videodatarate: Infinity }],
  ['R30 width as a string', { width: '1280' }],
  ['keys of a prototype', { constructor: 1, ['__proto__']: { width: 5 } }],
])('%s counts as not said', (_, object) => {
  expect(readMetadata(payload(object))).toEqual({ value: {} })
})

test.each<[string, Buffer]>([
  [
    'R30 4 000 keys',
    payload(Object.fromEntries(Array.from({ length: 4000 }, (_, i) => [`k${i}`, i]))),
  ],
  ['R30 1 MB of text', payload({ encoder: 'x'.repeat(1024 * 1024) })],
  ['another name', writeAmf0('onCuePoint', {})],
  ['no values', writeAmf0('onMetaData')],
  ['no AMF', Buffer.from('hello')],
  ['nothing', Buffer.alloc(0)],
])('%s is a fault', (_, bytes) => {
  expect(readMetadata(bytes)).toEqual({ fault: expect.any(String) })
})

test('an encoder name is cut to a sensible length', () => {
  const read = readMetadata(payload({ encoder: 'x'.repeat(1000) }))
  expect(read).toEqual({ value: { encoder: 'x'.repeat(128) } })
})
