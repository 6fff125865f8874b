// The packager and the playlists together: media of all kinds in, and every version that a viewer could get holds
// to the rules.
import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  type Delivery,
  deliver,
  interleave,
  packagerRig,
  pictures,
  sounds,
  startTake,
  takePlan,
  timescaleOf,
} from '../../support/packager-rig.ts'
import { watchPlaylists } from '../../support/playlist-watch.ts'

const show = fc.record({
  framesPerSecond: fc.constantFrom(12, 24, 25, 30_000 / 1001, 30, 50, 60),
  gopSeconds: fc.constantFrom(0.5, 1, 2, 2.5, 4),
  partSeconds: fc.constantFrom(0.2, 0.5, 1),
  sampleRate: fc.constantFrom(44_100, 48_000),
  inMilliseconds: fc.boolean(),
  /** Where there is a picture at all, the first take has one: the part target is chosen by it, for good. */
  isSoundAlone: fc.constantFrom(false, false, false, true),
  reordered: fc.boolean(),
  /** The rungs and the sound come late by so much. */
  lagSeconds: fc.record({ '360p': fc.constantFrom(0, 0.05, 1.2), audio: fc.constantFrom(0, 0.3) }),
  takes: fc.array(
    fc.record({
      seconds: fc.integer({ min: 1, max: 30 }),
      pauseSeconds: fc.constantFrom(0, 0.3, 2.5, 20),
      isFilled: fc.boolean(),
      /** The rung is given up half-way. */
      isDropped: fc.boolean(),
      names: fc.constantFrom(
        ['720p', 'audio'],
        ['720p', '360p', 'audio'],
        ['720p', '360p'],
        ['audio'],
      ),
    }),
    { minLength: 1, maxLength: 3 },
  ),
})

test('whatever media comes, every version of every playlist holds to the rules', () => {
  fc.assert(
    fc.property(
      show,
      ({ framesPerSecond, gopSeconds, sampleRate, isSoundAlone, lagSeconds, takes, ...rest }) => {
        const rig = packagerRig({ config: { partSeconds: rest.partSeconds } })
        const faults = watchPlaylists(rig.packager)
        let fromSeconds = 10
        takes.forEach(({ seconds, pauseSeconds, isFilled, isDropped, names: drawn }, index) => {
          const names = isSoundAlone ? ['audio'] : index === 0 ? ['720p', ...drawn.slice(1)] : drawn
          const name = `take-${index + 1}`
          const isSound = names[0] === 'audio'
          const plan = takePlan({
            name,
            number: index + 1,
            names,
            ...(isSound ? { cutting: 'audio' as const } : { framesPerSecond }),
          })
          startTake(rig.packager, plan, fromSeconds, sampleRate)
          const gopFrames = Math.round(gopSeconds * framesPerSecond)
          const picture = () =>
            pictures({
              ...rest,
              framesPerSecond,
              fromSeconds,
              seconds,
              isKeyframe: (frame) => frame % gopFrames === 0,
            })
          const sound = () => sounds(sampleRate, fromSeconds, seconds)
          const tracks = Object.fromEntries(
            names.map((it) => [it, it === 'audio' ? sound() : picture()]),
          )
          const arrival = ({ rendition, sample }: Delivery) =>
            sample.dts / timescaleOf(rendition, sampleRate) +
            (rendition in lagSeconds ? lagSeconds[rendition as keyof typeof lagSeconds] : 0)
          const arrived = interleave(tracks, sampleRate).sort((a, b) => arrival(a) - arrival(b))
          const half = Math.floor(arrived.length / 2)
          deliver(rig, name, arrived.slice(0, half))
          if (isDropped) rig.packager.dropRendition(name, '360p')
          deliver(rig, name, arrived.slice(half))
          rig.packager.endTake(name)
          fromSeconds += seconds + pauseSeconds
          if (isFilled) rig.packager.fillGaps(fromSeconds)
        })
        rig.packager.end()
        expect([...faults]).toEqual([])
      },
    ),
    { numRuns: 15 },
  )
}, 60_000)
