import { expect, test } from 'vitest'
import { readLadder } from '../../../config/ladder.ts'
import { type FfmpegPlan, ffmpegArgs } from '../../../origin/transcoder/ffmpeg-args.ts'
import { planVideo } from '../../../origin/transcoder/ladder.ts'

const ladder = readLadder('default')
const plan = (canCopySource: boolean): FfmpegPlan => ({
  video: planVideo(ladder, { width: 854, height: 480 }, { canCopySource, sourceBitsPerSecond: 0 }),
  audio: { isCopied: true, bitsPerSecond: 128_000 },
  preset: 'superfast',
  segmentSeconds: 2,
  timelineOffsetSeconds: 9.5,
})

/** One option and its value per line. */
function lines(args: string[]): string {
  return args.join(' ').replaceAll(/ -(?=[a-z])/g, '\n-')
}

test('a copied source beside one rung, and copied sound', () => {
  expect(lines(ffmpegArgs(plan(true)))).toMatchSnapshot()
})

test('a source that is encoded gets keyframes on a grid of our own', () => {
  const args = lines(ffmpegArgs(plan(false)))
  expect(args).toContain('-filter_complex [0:v]split=2[s0][s1];[s0]scale=854:480')
  expect(args).toContain(
    '-force_key_frames:v:0 expr:if(isnan(prev_forced_t),1,gte(t,prev_forced_t+2))',
  )
  expect(args).not.toContain('copy\n-map [v1]')
})

test('sound alone is cut by its own length', () => {
  const args = lines(ffmpegArgs({ ...plan(true), video: [] }))
  expect(args).toContain('-adaptation_sets id=0,seg_duration=1.900,streams=a')
  expect(args).not.toContain('-filter_complex')
})

test('sound that cannot be copied becomes AAC in stereo', () => {
  const args = lines(
    ffmpegArgs({ ...plan(true), audio: { isCopied: false, bitsPerSecond: 96_000 } }),
  )
  expect(args).toContain('-c:a:0 aac\n-b:a:0 96000\n-ac:a:0 2\n-ar:a:0 48000')
})

test('nothing but pipes and files can be opened, and no path is named', () => {
  const args = ffmpegArgs(plan(true))
  expect(args[args.indexOf('-protocol_whitelist') + 1]).toBe('pipe,file')
  expect(args[args.indexOf('-i') + 1]).toBe('pipe:0')
  expect(args.filter((it) => it.includes('/'))).toEqual([])
})
