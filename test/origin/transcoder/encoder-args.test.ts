import { expect, test } from 'vitest'
import {
  type EncoderPlan,
  encodedNames,
  encoderArgs,
} from '../../../origin/transcoder/encoder-args.ts'

const plan: EncoderPlan = {
  video: {
    kind: 'video',
    timescale: 90_000,
    codec: 'avc1.64001f',
    width: 1280,
    height: 720,
    config: Buffer.alloc(0),
  },
  rungs: [
    { name: '480p', width: 854, height: 480, videoBitsPerSecond: 1_200_000 },
    { name: '360p', width: 640, height: 360, videoBitsPerSecond: 700_000 },
  ],
  keyframes: { kind: 'source' },
  preset: 'superfast',
  audioBitsPerSecond: 128_000,
}
const audio = {
  kind: 'audio',
  timescale: 44_100,
  codec: 'mp4a.40.5',
  sampleRate: 44_100,
  channels: 6,
  config: Buffer.alloc(0),
} as const

/** One option and its value per line. */
function lines(args: string[]): string {
  return args.join(' ').replaceAll(/ -(?=[a-z])/g, '\n-')
}

test('two rungs of a source, each on its own pipe', () => {
  expect(lines(encoderArgs(plan))).toMatchSnapshot()
  expect(encodedNames(plan)).toEqual(['480p', '360p'])
})

test('rungs begin at times of their own, before they are scaled', () => {
  const [first, second] = plan.rungs
  const rungs = [{ ...first!, fromTicks: 900_000 }, second!]
  expect(lines(encoderArgs({ ...plan, rungs }))).toContain(
    '[s0]trim=start_pts=900000,scale=854:480:flags=bicubic,format=yuv420p[v0];[s1]scale=640:360',
  )
})

test('keyframes on a grid of our own are counted in cells of it from the first frame on', () => {
  const [first, second] = plan.rungs
  const args = lines(
    encoderArgs({
      ...plan,
      rungs: [first!, { ...second!, fromTicks: 1_170_000 }],
      keyframes: { kind: 'grid', firstTicks: 900_000, everyTicks: 180_000 },
    }),
  )
  const cell = (time: string, offset: number) => `floor((${time}*90000+${offset})/180000)`
  for (const [offset, firstCell] of [
    [750.5, 1],
    [270_750.5, 2],
  ] as const) {
    const [now, before] = [cell('t', offset), cell('prev_forced_t', offset)]
    const rule = `if(isnan(prev_forced_t),gte(${now},${firstCell}),gt(${now},${before}))`
    expect(args).toContain(`-force_key_frames expr:${rule}\n`)
  }
})

test('a measured frame rate is told to the encoder, which shares out bits by it', () => {
  const args = lines(encoderArgs({ ...plan, framesPerSecond: 29.97 }))
  expect(args).toContain('\n-x264-params fps=29970/1000\n')
})

test('sound beside pictures comes on the pipe after theirs, from a graph of its own', () => {
  const both = { ...plan, audio, audioFromTicks: 480_000 }
  const args = lines(encoderArgs(both))
  expect(args).toContain(
    '-filter_complex [0:a]aresample=48000:async=1,aformat=sample_fmts=fltp:channel_layouts=stereo,atrim=start_pts=480000[a]\n',
  )
  expect(args).toContain('-map [a]\n-c:a aac\n-b:a 128000\n')
  expect(args.trim().endsWith(' pipe:5')).toBe(true)
  expect(encodedNames(both)).toEqual(['480p', '360p', 'audio'])
})

test('sound alone has the first pipe, and no rungs', () => {
  const alone = { ...plan, video: undefined, audio, encodedAudioName: 'sound' }
  const args = lines(encoderArgs(alone))
  expect(args).not.toContain('[0:v]')
  expect(args.trim().endsWith(' pipe:3')).toBe(true)
  expect(encodedNames(alone)).toEqual(['sound'])
})

test('nothing but pipes can be opened, and no path is named', () => {
  const args = encoderArgs({ ...plan, audio })
  expect(args[args.indexOf('-protocol_whitelist') + 1]).toBe('pipe')
  expect(args.filter((it) => it.includes('/') && !it.startsWith('expr:'))).toEqual([])
})
