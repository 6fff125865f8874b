import { expect, test } from 'vitest'
import { type ResumePoint, resumePointSchema } from '../../../common/contract/resume-point.ts'
import {
  deliver,
  interleave,
  packagerRig,
  pictures,
  sounds,
  startTake,
  takePlan,
} from '../../support/packager-rig.ts'

function somePoint(): ResumePoint {
  const rig = packagerRig()
  startTake(rig.packager, takePlan(), 10)
  const isKeyframe = (index: number) => index % 60 === 0
  const picture = pictures({ framesPerSecond: 30, fromSeconds: 10, seconds: 5, isKeyframe })
  deliver(rig, 'take-1', interleave({ '720p': picture, audio: sounds(48_000, 10, 5) }))
  return {
    connection: 'connection-of-one-publisher',
    packaging: rig.packager.checkpoint(),
    clock: {
      originSeconds: 10.02,
      firstMs: 66,
      lastDts: 900_000,
      audio: { nextTicks: 720_000, driftTicks: 0.25 },
    },
    input: {
      video: Buffer.from('avcC').toString('base64'),
      entry: { timestampMs: 14_000, baseMs: 10_000, lastMs: { video: 13_967 } },
    },
  }
}

test('a resume point is the same after its way through JSON', () => {
  const point = somePoint()
  const text = JSON.stringify(point)
  expect(JSON.stringify(resumePointSchema.parse(JSON.parse(text)))).toBe(text)
})

test.each([
  ['no packaging', { packaging: undefined }],
  ['an init section that is no base64', { input: { video: 'not base64!' } }],
  ['a clock without an origin', { clock: { firstMs: 0 } }],
])('a resume point with %s is refused', (_, broken) => {
  expect(resumePointSchema.safeParse({ ...somePoint(), ...broken }).success).toBe(false)
})
