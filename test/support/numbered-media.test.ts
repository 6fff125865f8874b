// The numbers of frames: they survive packaging, decoders skip them, and the source goes on without a seam.
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { flvHeader, flvTag } from '../../media/flv/tag-writer.ts'
import type { MediaMessage } from '../../media/rtmp/message.ts'
import { frameOffset, numberIn, withNumber } from './numbered-media.ts'
import { NumberedSource } from './numbered-source.ts'
import { clip } from './publisher-clips.ts'

const run = promisify(execFile)
const video: MediaMessage = {
  kind: 'video',
  timestampMs: 0,
  payload: Buffer.from('2701000000000000026142', 'hex'),
}
const audio: MediaMessage = {
  kind: 'audio',
  timestampMs: 0,
  payload: Buffer.from('af012110', 'hex'),
}

test.each([video, audio])('any number is read as it was written: $kind', (message) => {
  fc.assert(
    fc.property(fc.nat({ max: 2 ** 31 }), (number) => {
      const marked = withNumber(message, number)
      const data = marked.payload.subarray(frameOffset(marked))
      expect(message.kind === 'data' || numberIn(message.kind, data)).toBe(number)
      expect(data.includes(Buffer.from([0, 0, 0, 0]))).toBe(false)
      const body = message.payload.subarray(frameOffset(message))
      expect(data.subarray(data.length - body.length)).toEqual(body)
    }),
  )
})

test('what has no number, and headers, stay what they are', () => {
  expect(numberIn('video', video.payload.subarray(5))).toBeUndefined()
  expect(numberIn('audio', audio.payload.subarray(2))).toBeUndefined()
  const header: MediaMessage = { ...video, payload: Buffer.from('17000000000164', 'hex') }
  expect(withNumber(header, 5)).toBe(header)
})

async function source(): Promise<NumberedSource> {
  const made = await clip({ seconds: 1, framesPerSecond: 30, keyframes: 30 })
  return new NumberedSource({ clip: made, framesPerSecond: 30, sampleRate: 48_000 })
}

test('numbers and times go on over the seam of the clip, and times alone begin anew', async () => {
  const numbered = await source()
  const first = [...numbered.framesUntil(2_500)].filter(({ kind }) => kind === 'video')
  expect(first.map(({ number }) => number)).toEqual(Array.from({ length: 76 }, (_, i) => i))
  expect(first[60]?.message.timestampMs).toBe(2_000)
  expect(first[60]?.isKeyframe).toBe(true)
  numbered.restart()
  const [again] = [...numbered.framesUntil(0)].filter(({ kind }) => kind === 'video')
  expect(again).toMatchObject({ number: 76, isKeyframe: true, message: { timestampMs: 0 } })
})

test('a decoder makes a picture of every numbered frame and does not complain', async () => {
  const numbered = await source()
  const frames = [...numbered.framesUntil(1_990)]
  const messages = [...numbered.headers, ...frames.map(({ message }) => message)]
  const flv = Buffer.concat([flvHeader({ audio: true, video: true }), ...messages.flatMap(flvTag)])
  const args = ['-v', 'error', '-f', 'flv', '-i', 'pipe:0', '-map', '0:v', '-map', '0:a']
  const decoding = run('ffmpeg', [...args, '-fps_mode', 'passthrough', '-f', 'framecrc', 'pipe:1'])
  decoding.child.stdin?.end(flv)
  const { stdout, stderr } = await decoding
  expect(stderr).toBe('')
  const pictures = stdout.split('\n').filter((line) => line.startsWith('0,'))
  expect(pictures.length).toBe(frames.filter(({ kind }) => kind === 'video').length)
})
