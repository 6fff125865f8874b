// A home that hears all of a broadcast shows the same as the packager that makes it.
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { FeedFrameReader, frameBytes } from '../../../../common/live/feed-frames.ts'
import { HomeBroadcast } from '../../../../origin/gateway/home/home-broadcast.ts'
import { FeedWriter } from '../../../../origin/transcoder/feed-writer.ts'
import { BroadcastTexts } from '../../../support/broadcast-texts.ts'
import { FakeClock } from '../../../support/fake-clock.ts'
import { packagerRig } from '../../../support/packager-rig.ts'
import { sceneSteps, scenes } from '../../../support/packager-scenes.ts'

const names = ['720p', '480p', '360p', 'audio']
const holder = { epoch: 1, instance: 'tc-1 first start' }

test('at every version, over takes, holes, lags and dropped renditions', () => {
  fc.assert(
    fc.property(scenes, fc.integer({ min: 1, max: 2_000 }), (script, pieceBytes) => {
      const clock = new FakeClock()
      const rig = packagerRig({ isForgetful: true })
      const { packager } = rig
      const refused: unknown[] = []
      const home = new HomeBroadcast({
        facts: packager.facts,
        onRefused: (what) => refused.push(what),
      })
      const reader = new FeedFrameReader()
      const hear = (pieces: readonly Buffer[]) => {
        const bytes = Buffer.concat(pieces)
        for (let at = 0; at < bytes.length; at += pieceBytes) {
          const { frames, fault } = reader.push(bytes.subarray(at, at + pieceBytes))
          expect(fault).toBeUndefined()
          for (const frame of frames) expect(home.accept(frame, holder)).toBe('accepted')
        }
      }
      const writer = new FeedWriter(packager)
      const made = new BroadcastTexts(packager, clock)
      const held = new BroadcastTexts(home, clock)
      hear(frameBytes({ kind: 'open', ...holder, facts: packager.facts }))
      packager.onChange(() => {
        const { bodies, change } = writer.next()
        hear([...bodies.flatMap((it) => frameBytes({ kind: 'body' }, it)), ...frameBytes(change)])
        expect(held.at(names)).toEqual(made.at(names))
        expect(held.media(names)).toEqual(made.media(names))
      })
      for (const step of sceneSteps(script).steps) step.run(rig, (name) => name)
      packager.end()
      expect(home.isEnded).toBe(true)
      expect(refused).toEqual([])
    }),
    { numRuns: 30 },
  )
}, 300_000)
