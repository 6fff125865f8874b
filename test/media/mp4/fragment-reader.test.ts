import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type FragmentEvent, FragmentReader } from '../../../media/mp4/fragment-reader.ts'
import { writeFragment } from '../../../media/mp4/fragment-writer.ts'
import type { MediaSample } from '../../../media/mp4/track.ts'
import { box, fields, initSection, syncFlags } from '../../support/fmp4.ts'
import { mutate, randomNumbers } from '../mutations.ts'

const init = initSection()

/** What comes out of all pieces; the first fault as text. */
function readAll(pieces: readonly Buffer[]): FragmentEvent[] | string {
  const reader = new FragmentReader()
  const events: FragmentEvent[] = []
  for (const piece of pieces) {
    const read = reader.push(piece)
    if ('fault' in read) return read.fault
    events.push(...read.value)
  }
  return events
}

function samplesOf(...pieces: Buffer[]): MediaSample[] {
  const events = readAll(pieces)
  if (typeof events === 'string') throw new Error(events)
  return events.flatMap((event) => (event.kind === 'sample' ? [event.sample] : []))
}

interface TestRun {
  flags: number
  version?: number
  values: (number | bigint)[]
}

interface TestFragment {
  tfhd?: Buffer
  tfdt?: Buffer
  runs: TestRun[]
  media?: Buffer
}

const moofOf = ({ tfhd, tfdt, runs }: TestFragment) =>
  box(
    'moof',
    box('mfhd', fields(0, 1)),
    box(
      'traf',
      box('tfhd', tfhd ?? fields(0x02_0000, 1)),
      box('tfdt', tfdt ?? fields(0x0100_0000, 9_000n)),
      ...runs.map(({ flags, version = 1, values }) =>
        box('trun', fields(version * 2 ** 24 + flags, ...values)),
      ),
    ),
  )

const fragmentOf = (fragment: TestFragment) =>
  Buffer.concat([moofOf(fragment), box('mdat', fragment.media ?? Buffer.from('abcdefgh'))])

/** Where the media begins, seen from the moof's start. */
const offsetOf = (fragment: TestFragment) => moofOf(fragment).length + 8

describe('reads', () => {
  test('the init section as it was written, once it is whole', () => {
    const reader = new FragmentReader()
    expect(reader.push(init.subarray(0, -1))).toEqual({ value: [] })
    expect(reader.push(init.subarray(-1))).toMatchObject({
      value: [{ kind: 'init', bytes: init, track: { kind: 'video', timescale: 90_000 } }],
    })
  })

  test('what the header of the fragment says of all samples, and flags of the first', () => {
    const at = (offset: number): TestFragment => ({
      tfhd: fields(0x02_0038, 1, 3_000, 4, 0x0101_0000),
      runs: [{ flags: 0x005, values: [2, offset, syncFlags] }],
    })
    expect(samplesOf(init, fragmentOf(at(offsetOf(at(0)))))).toEqual([
      { dts: 9_000, cts: 0, duration: 3_000, isKeyframe: true, data: Buffer.from('abcd') },
      { dts: 12_000, cts: 0, duration: 3_000, isKeyframe: false, data: Buffer.from('efgh') },
    ])
  })

  test('what the init section says where the fragment is silent', () => {
    const trex = box('trex', fields(0, 1, 1, 1_500, 8, 0x0101_0000))
    const start = init.lastIndexOf('trex') - 4
    const withDefaults = Buffer.concat([init.subarray(0, start), trex])
    const at = (offset: number): TestFragment => ({ runs: [{ flags: 0x001, values: [1, offset] }] })
    expect(samplesOf(withDefaults, fragmentOf(at(offsetOf(at(0)))))).toEqual([
      { dts: 9_000, cts: 0, duration: 1_500, isKeyframe: false, data: Buffer.from('abcdefgh') },
    ])
  })

  test('several runs, the later ones without an offset of their own', () => {
    const at = (offset: number): TestFragment => ({
      runs: [
        { flags: 0x301, values: [1, offset, 100, 3] },
        { flags: 0x300, values: [2, 200, 1, 300, 4] },
      ],
    })
    const samples = samplesOf(init, fragmentOf(at(offsetOf(at(0)))))
    expect(samples.map(({ dts, data }) => [dts, data.toString()])).toEqual([
      [9_000, 'abc'],
      [9_100, 'd'],
      [9_300, 'efgh'],
    ])
  })

  test('offsets that count from the start of the file', () => {
    const at = (base: number): TestFragment => ({
      tfhd: fields(0x01, 1, BigInt(base)),
      runs: [{ flags: 0x301, values: [1, 2, 100, 4] }],
    })
    const styp = box('styp', fields(0, 0))
    const base = init.length + styp.length + offsetOf(at(0))
    expect(samplesOf(init, styp, fragmentOf(at(base)))[0]!.data.toString()).toBe('cdef')
  })

  test.each([
    ['unsigned in version 0', 0, 6_000, 6_000],
    ['signed in version 1', 1, -3_000, -3_000],
  ])('composition offsets, %s', (_, version, written, cts) => {
    const at = (offset: number): TestFragment => ({
      runs: [{ flags: 0xb01, version, values: [1, offset, 100, 8, written] }],
    })
    expect(samplesOf(init, fragmentOf(at(offsetOf(at(0)))))[0]!.cts).toBe(cts)
  })

  test('a tfdt of 32 bits', () => {
    const at = (offset: number): TestFragment => ({
      tfdt: fields(0, 0xffff_ffff),
      runs: [{ flags: 0x301, values: [1, offset, 100, 8] }],
    })
    expect(samplesOf(init, fragmentOf(at(offsetOf(at(0)))))[0]!.dts).toBe(2 ** 32 - 1)
  })

  test('an mdat with a size of 64 bits', () => {
    const at = (offset: number): TestFragment => ({
      runs: [{ flags: 0x301, values: [1, offset, 100, 4] }],
    })
    const media = Buffer.concat([fields(1), Buffer.from('mdat'), fields(20n), Buffer.from('wxyz')])
    const samples = samplesOf(init, moofOf(at(offsetOf(at(0)) + 8)), media)
    expect(samples[0]!.data.toString()).toBe('wxyz')
  })

  test('past boxes that are none of its business', () => {
    const skipped = ['styp', 'sidx', 'prft', 'emsg', 'free', 'mfra'].map((type) =>
      box(type, Buffer.alloc(50)),
    )
    const sample = { dts: 1, cts: 0, duration: 1, isKeyframe: true, data: Buffer.from('x') }
    const fragment = writeFragment({ sequenceNumber: 1, trackId: 1, samples: [sample] }).bytes
    expect(samplesOf(...skipped, init, ...skipped, fragment, ...skipped)).toEqual([sample])
  })
})

test('samples are their own, whatever becomes of the bytes that were pushed', () => {
  const sample = { dts: 1, cts: 0, duration: 1, isKeyframe: true, data: Buffer.from('media') }
  const { bytes } = writeFragment({ sequenceNumber: 1, trackId: 1, samples: [sample] })
  const pushed = Buffer.concat([init, bytes])
  const [read] = samplesOf(pushed)
  pushed.fill(0)
  expect(read!.data.toString()).toBe('media')
})

const size = (value: number, type: string) =>
  Buffer.concat([fields(value), Buffer.from(type, 'latin1')])
const oneSample: TestFragment = { runs: [{ flags: 0x301, values: [1, 92, 100, 8] }] }

test.each<[string, string, Buffer[]]>([
  ['a box that is smaller than its header', 'smaller', [size(7, 'ftyp')]],
  ['a box that never ends', 'smaller', [size(0, 'mdat')]],
  ['a box of more than 64 MiB', 'too large', [init, size(2 ** 26 + 1, 'mdat')]],
  [
    'a 64-bit size out of all reason',
    'too large',
    [Buffer.concat([size(1, 'free'), fields(2n ** 62n)])],
  ],
  ['an init section of more than 1 MiB', 'too large', [size(2 ** 20 + 1, 'moov')]],
  ['an init section that says nothing', 'no moov|track', [box('moov')]],
  ['a second init section', 'second moov', [init, init]],
  ['a fragment before the init section', 'before', [fragmentOf(oneSample)]],
  [
    'a fragment without its media',
    'without its media',
    [init, moofOf(oneSample), moofOf(oneSample)],
  ],
  ['a fragment of no track', 'of 0 tracks', [init, box('moof', box('mfhd', fields(0, 1)))]],
  [
    'a fragment of another track',
    'another',
    [init, fragmentOf({ ...oneSample, tfhd: fields(0, 2) })],
  ],
  ['a tfhd that is cut off', 'tfhd', [init, fragmentOf({ ...oneSample, tfhd: fields(8, 1) })]],
  [
    'a time below zero that wrapped',
    'wrapped',
    [init, fragmentOf({ ...oneSample, tfdt: fields(0x0100_0000, 2n ** 64n - 1_024n) })],
  ],
  [
    'a trun that is cut off',
    'trun',
    [init, fragmentOf({ runs: [{ flags: 0x301, values: [2, 92, 100, 8] }] })],
  ],
  [
    'more samples than any fragment has',
    'too many',
    [init, fragmentOf({ runs: [{ flags: 0x001, values: [2 ** 31, 92] }] })],
  ],
  [
    'a sample that begins before its media',
    'outside',
    [init, fragmentOf({ runs: [{ flags: 0x301, values: [1, 0, 100, 8] }] })],
  ],
  [
    'a sample that ends behind its media',
    'outside',
    [init, fragmentOf({ runs: [{ flags: 0x301, values: [1, 93, 100, 80] }] })],
  ],
])('refuses %s, and stays with it', (_, fault, pieces) => {
  const reader = new FragmentReader()
  const answers = pieces.map((piece) => reader.push(piece))
  expect(answers.at(-1)).toMatchObject({ fault: expect.stringMatching(fault) })
  expect(reader.push(init)).toEqual(answers.at(-1))
})

const sampleArbitrary = fc.record({
  cts: fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
  duration: fc.oneof(fc.constant(3_000), fc.nat(2 ** 32 - 1)),
  isKeyframe: fc.boolean(),
  data: fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes)),
})
const fragmentArbitrary = fc.record({
  dts: fc.maxSafeInteger().map((ticks) => Math.abs(ticks) % 2 ** 52),
  samples: fc.array(sampleArbitrary, { minLength: 1, maxLength: 12 }),
  hasOffsets: fc.boolean(),
})

test('what was written is read back, however it is cut', () => {
  fc.assert(
    fc.property(
      fc.array(fragmentArbitrary, { maxLength: 5 }),
      fc.infiniteStream(fc.integer({ min: 1, max: 90 })),
      (fragments, lengths) => {
        const written = fragments.map(({ dts, samples, hasOffsets }) => {
          let next = dts
          return samples.map((it): MediaSample => {
            const sample = { ...it, cts: hasOffsets ? it.cts : 0, dts: next }
            next += it.duration
            return sample
          })
        })
        const file = Buffer.concat([
          init,
          ...written.map(
            (samples, sequenceNumber) =>
              writeFragment({ sequenceNumber, trackId: 1, samples }).bytes,
          ),
        ])
        const pieces: Buffer[] = []
        for (let at = 0; at < file.length; ) {
          const length = lengths.next().value
          pieces.push(file.subarray(at, at + length))
          at += length
        }
        expect(samplesOf(...pieces)).toEqual(written.flat())
      },
    ),
  )
})

test('no damage makes it throw, and what comes out is within bounds', () => {
  const random = randomNumbers(1)
  const { bytes } = writeFragment({
    sequenceNumber: 1,
    trackId: 1,
    samples: [1, 2, 3].map((dts) => ({
      dts,
      cts: dts - 2,
      duration: 1,
      isKeyframe: dts === 1,
      data: Buffer.alloc(20, dts),
    })),
  })
  const seeds = [Buffer.concat([init, bytes, bytes]), Buffer.concat([init, fragmentOf(oneSample)])]
  for (let i = 0; i < 5_000; i++) {
    const file = mutate(seeds, random)
    const at = random(file.length + 1)
    const events = readAll([file.subarray(0, at), file.subarray(at)])
    if (typeof events === 'string') {
      expect(events).not.toBe('')
      continue
    }
    for (const event of events) {
      if (event.kind === 'sample') expect(event.sample.data.length).toBeLessThan(file.length)
    }
  }
})
