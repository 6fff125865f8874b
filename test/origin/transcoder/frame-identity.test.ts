// Every frame that a publisher sends is listed once, in its order and to the byte.
import { expect, test } from 'vitest'
import { NumberedPublisher } from '../../support/numbered-publisher.ts'
import { SequenceAudit } from '../../support/sequence-audit.ts'
import { TranscoderRig } from '../../support/transcoder-rig.ts'
import { until } from '../../support/until.ts'

test('what a publisher sent is what is listed, frame by frame', async () => {
  await using rig = await TranscoderRig.start()
  const streamKey = await rig.createChannel('demo')
  const { streamName } = await rig.grant(streamKey)
  await using publisher = await NumberedPublisher.start({
    servers: [String(rig.transcoder.endpoints.rtmp)],
    streamKey: streamName,
    keyframeSeconds: 1,
    size: '160x90',
  })
  await using audit = await SequenceAudit.start({ media: `${rig.url}/live/demo`, ca: '' })
  const { lastNumber } = audit
  await until('three more segments', () => audit.lastNumber >= lastNumber + 3)
  const report = await audit.stop(publisher.sent)
  const clean = { lost: [], doubled: [], disordered: [], changed: [] }
  expect(report.faults).toEqual([])
  expect(report.video).toMatchObject(clean)
  expect(report.audio).toMatchObject(clean)
  expect(report.video.listed).toBeGreaterThan(60)
  expect(report.audio.listed).toBeGreaterThan(100)
  expect(publisher.disconnects).toBe(0)
})
