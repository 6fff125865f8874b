// A home over the death of a transcoder, wherever in its media that comes.
import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Holder } from '../../../../common/contract/placement.ts'
import { neededSeconds } from '../../../../common/contract/resume-point.ts'
import { HomeBroadcast } from '../../../../origin/gateway/home/home-broadcast.ts'
import type { Packager } from '../../../../origin/packager/packager.ts'
import { FeedWriter } from '../../../../origin/transcoder/feed-writer.ts'
import { BroadcastTexts } from '../../../support/broadcast-texts.ts'
import { FakeClock } from '../../../support/fake-clock.ts'
import {
  type Delivery,
  packagerRig,
  pictures,
  sounds,
  startTake,
  takePlan,
  timescaleOf,
} from '../../../support/packager-rig.ts'

const names = ['720p', '360p', 'audio']
const take = 'take-1'
const seconds = 40
const none = Buffer.alloc(0)

/** In the order of arrival: what is encoded lags behind the source. */
function media(lagSeconds: number): Delivery[] {
  const isKeyframe = (index: number) => index % 60 === 0
  const options = { framesPerSecond: 30, fromSeconds: 10, seconds, isKeyframe }
  const video = [...pictures(options)]
  const tracks = { '720p': video, '360p': video, audio: [...sounds(48_000, 10, seconds)] }
  const arrival = ({ rendition, sample }: Delivery) =>
    sample.dts / timescaleOf(rendition) + (rendition === '720p' ? 0 : lagSeconds)
  return Object.entries(tracks)
    .flatMap(([rendition, samples]) => samples.map((sample) => ({ rendition, sample })))
    .sort((a, b) => arrival(a) - arrival(b))
}

function tell(home: HomeBroadcast, packager: Packager, from: Holder): void {
  const accept = (frame: Parameters<HomeBroadcast['accept']>[0]) =>
    expect(home.accept(frame, from)).toBe('accepted')
  const writer = new FeedWriter(packager)
  const next = () => {
    const { bodies, change } = writer.next()
    for (const body of bodies) accept({ head: { kind: 'body' }, body })
    accept({ head: change, body: none })
  }
  accept({ head: { kind: 'open', ...from, facts: packager.facts }, body: none })
  next()
  packager.onChange(next)
}

test('what was listed stays, numbers go on, and in the end all is as if one had made it', () => {
  const scene = fc.record({
    deathAt: fc.double({ min: 0.02, max: 0.9, noNaN: true }),
    lag: fc.integer({ min: 0, max: 1_500 }).map((ms) => ms / 1000),
  })
  fc.assert(
    fc.property(scene, ({ deathAt, lag }) => {
      const refused: unknown[] = []
      const deliveries = media(lag)
      const [first, one] = [packagerRig({ isForgetful: true }), packagerRig({ isForgetful: true })]
      const { facts } = first.packager
      const home = new HomeBroadcast({ facts, onRefused: (what) => refused.push(what) })
      const listed = new Map<string, Buffer>()
      home.onChange(() => {
        for (const name of names) {
          const segments = home.playlist(name)?.segments ?? []
          const numbers = segments.map((it) => it.number)
          expect(numbers).toEqual(numbers.map((_, index) => numbers[0]! + index))
          for (const { parts } of segments.slice(-2)) {
            for (const { id, bytes } of parts) {
              const before = listed.get(`${name} ${id}`)
              if (before && !before.equals(bytes)) throw new Error(`${name} ${id} has changed`)
              listed.set(`${name} ${id}`, bytes)
            }
          }
        }
      })
      const push = (packager: Packager, { rendition, sample }: Delivery) =>
        packager.push(take, rendition, sample)
      startTake(first.packager, takePlan({ names }), 10)
      tell(home, first.packager, { epoch: 1, instance: 'tc-1' })
      const death = Math.floor(deathAt * deliveries.length)
      for (const it of deliveries.slice(0, death)) push(first.packager, it)
      const resume = first.packager.checkpoint()
      const known = new Map(
        names.map((name) => [name, home.playlist(name)?.segments.at(-1)?.number]),
      )

      const second = packagerRig({ isForgetful: true, resume })
      startTake(second.packager, takePlan({ names, epoch: 2 }), resume.endSeconds)
      tell(home, second.packager, { epoch: 2, instance: 'tc-2' })
      for (const name of names) {
        expect(home.playlist(name)?.segments.at(-1)?.number).toBe(known.get(name))
      }
      for (const it of deliveries) {
        const end = (it.sample.dts + it.sample.duration) / timescaleOf(it.rendition)
        if (end > (neededSeconds(resume) ?? 0) - 0.05) push(second.packager, it)
      }
      startTake(one.packager, takePlan({ names }), 10)
      // What is told of is measured segment by segment.
      const other = new HomeBroadcast({ facts, onRefused: (what) => refused.push(what) })
      tell(other, one.packager, { epoch: 1, instance: 'tc-3' })
      for (const it of deliveries) push(one.packager, it)
      const clock = new FakeClock()
      const made = new BroadcastTexts(one.packager, clock).at(names)
      const held = new BroadcastTexts(home, clock).at(names)
      for (const name of names) expect(held[`${name}.m3u8`]).toBe(made[`${name}.m3u8`])
      expect(held['timeline.mpd']).toBe(made['timeline.mpd'])
      expect(refused).toEqual([])
    }),
    { numRuns: 25 },
  )
}, 120_000)
