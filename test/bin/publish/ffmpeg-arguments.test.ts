// What ffmpeg is asked to make.
import { describe, expect, test } from 'vitest'
import { type SourceOptions, sourceArguments } from '../../../bin/publish/ffmpeg-arguments.ts'

const options: SourceOptions = {
  input: 'test',
  loop: true,
  copy: false,
  size: undefined,
  framesPerSecond: 30,
  videoBitsPerSecond: 2_500_000,
  keyframeSeconds: 2,
  canDrawText: false,
}
const line = (changes: Partial<SourceOptions>) =>
  sourceArguments({ ...options, ...changes }).join(' ')

describe('the test picture', () => {
  test('is 720p30 with sound, in real time, a keyframe each 2 s', () => {
    const text = line({})
    expect(text).toContain('-re -f lavfi -i testsrc2=size=1280x720:rate=30 ')
    expect(text).toContain('-re -f lavfi -i sine=')
    expect(text).toContain('-g 60 ')
    expect(text).toContain('-force_key_frames expr:gte(t,n_forced*2)')
    expect(text).toContain('-b:v 2500000 -maxrate 2500000')
    expect(text).toMatch(/-f flv -flvflags no_duration_filesize pipe:1$/)
  })

  test('shows a clock where ffmpeg can write', () => {
    expect(line({ canDrawText: true })).toContain('rate=30,drawtext=')
    expect(line({})).not.toContain('drawtext')
  })

  test('takes another size and rate', () => {
    expect(line({ size: '640x360', framesPerSecond: 25 })).toContain(
      'testsrc2=size=640x360:rate=25',
    )
  })
})

describe('a file', () => {
  test('is repeated without end, unless told otherwise', () => {
    expect(line({ input: 'show.mp4' })).toContain('-stream_loop -1 -re -i file:show.mp4')
    expect(line({ input: 'show.mp4', loop: false })).not.toContain('stream_loop')
  })

  test('cannot be taken for an option or a URL', () => {
    expect(sourceArguments({ ...options, input: '-version' })).toContain('file:-version')
    expect(sourceArguments({ ...options, input: 'http://host/x' })).toContain('file:http://host/x')
  })

  test('may lack sound or picture', () => {
    expect(line({ input: 'show.mp4' })).toContain('-map 0:v:0? -map 0:a:0?')
  })

  test('keeps its size, or is scaled', () => {
    expect(line({ input: 'show.mp4' })).not.toContain('-vf')
    expect(line({ input: 'show.mp4', size: '640x360' })).toContain('-vf scale=640:360')
  })

  test('is sent as it is with copy', () => {
    const text = line({ input: 'show.mp4', copy: true, size: '640x360' })
    expect(text).toContain('-c copy')
    expect(text).not.toMatch(/libx264|scale/)
  })
})
