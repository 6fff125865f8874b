// What a home makes of frames that no transcoder of ours sends.
import fc from 'fast-check'
import { expect, it, test } from 'vitest'
import type { FeedChange, FeedHead } from '../../../../common/contract/feed.ts'
import type { ResumePoint } from '../../../../common/contract/resume-point.ts'
import { HomeBroadcast } from '../../../../origin/gateway/home/home-broadcast.ts'
import { FeedWriter } from '../../../../origin/transcoder/feed-writer.ts'
import { BroadcastTexts } from '../../../support/broadcast-texts.ts'
import { FakeClock } from '../../../support/fake-clock.ts'
import { packagerRig, pictures, startTake, takePlan } from '../../../support/packager-rig.ts'
import { ScriptedBroadcast } from '../../../support/scripted-broadcast.ts'
import { broadcast } from '../../../support/segment-logs.ts'

const holder = { epoch: 2, instance: 'tc-1' }
const none = Buffer.alloc(0)

function freshHome(): HomeBroadcast {
  const home = new HomeBroadcast({ facts: broadcast, onRefused: () => {} })
  expect(home.accept({ head: opening(), body: none }, holder)).toBe('accepted')
  return home
}

function opening(changes: object = {}): FeedHead {
  return { kind: 'open', ...holder, facts: broadcast, ...changes }
}

/** A home that has heard of a broadcast with some segments. */
function heardHome(): { home: HomeBroadcast; change: FeedChange; bodies: readonly Buffer[] } {
  const made = new ScriptedBroadcast()
  made.beginTake()
  made.addSegments(3)
  made.addParts(2)
  const { change, bodies } = new FeedWriter(made).next()
  const home = freshHome()
  for (const body of bodies) home.accept({ head: { kind: 'body' }, body }, holder)
  expect(home.accept({ head: change, body: none }, holder)).toBe('accepted')
  return { home, change, bodies }
}

it.each([
  ['a lower epoch', { epoch: 1, instance: 'tc-1' }, opening({ epoch: 1 }), 'fenced'],
  ['its ping', { epoch: 1, instance: 'tc-1' }, { kind: 'ping' }, 'fenced'],
  ['the same epoch of another process', { epoch: 2, instance: 'tc-2' }, opening(), 'conflict'],
  ['another epoch than was asked for', holder, opening({ epoch: 3 }), 'malformed'],
  [
    'another broadcast',
    holder,
    opening({ facts: { ...broadcast, broadcastId: 'x' } }),
    'malformed',
  ],
  [
    'a higher epoch that has not opened',
    { epoch: 3, instance: 'tc-2' },
    { kind: 'ping' },
    'malformed',
  ],
] as const)('%s is refused', (_, from, head, verdict) => {
  const { home } = heardHome()
  const texts = new BroadcastTexts(home, new FakeClock())
  const before = texts.at(['720p'])
  expect(home.accept({ head: head as FeedHead, body: none }, from)).toBe(verdict)
  expect(texts.at(['720p'])).toEqual(before)
  expect(home.holder).toEqual(holder)
})

it('lists nothing of a change whose bytes have not come', () => {
  const made = new ScriptedBroadcast()
  made.beginTake()
  made.addParts()
  const { change, bodies } = new FeedWriter(made).next()
  const home = freshHome()
  for (const body of bodies.slice(1)) home.accept({ head: { kind: 'body' }, body }, holder)
  expect(home.accept({ head: change, body: none }, holder)).toBe('malformed')
  expect(home.takes).toEqual([])
})

it('hears the same again without a change to what is listed', () => {
  const { home, change, bodies } = heardHome()
  const names = ['720p', '480p', 'audio']
  const texts = new BroadcastTexts(home, new FakeClock())
  const before = [texts.at(names), texts.media(names)]
  for (const body of bodies) home.accept({ head: { kind: 'body' }, body }, holder)
  expect(home.accept({ head: change, body: none }, holder)).toBe('accepted')
  expect([texts.at(names), texts.media(names)]).toEqual(before)
})

it('shows the same as a packager that has not got all that it lists', () => {
  const first = packagerRig({ isForgetful: true })
  const isKeyframe = (index: number) => index % 60 === 0
  const samples = [...pictures({ framesPerSecond: 30, fromSeconds: 10, seconds: 9, isKeyframe })]
  startTake(first.packager, takePlan({ names: ['720p'] }), 10)
  for (const it of samples.slice(0, 160)) first.packager.push('take-1', '720p', it)
  const { packager } = packagerRig({ isForgetful: true, resume: first.packager.checkpoint() })
  startTake(packager, takePlan({ names: ['720p'], epoch: 2 }), 10)
  for (const it of samples.slice(120)) packager.push('take-1', '720p', it)
  const { change, bodies } = new FeedWriter(packager).next()
  const home = freshHome()
  for (const body of bodies) home.accept({ head: { kind: 'body' }, body }, holder)
  expect(home.accept({ head: change, body: none }, holder)).toBe('accepted')
  const [made, held] = [packager, home].map((it) => new BroadcastTexts(it, new FakeClock()))
  expect(home.part('take-1', '720p', 9)?.elsewhereBytes).toBeGreaterThan(0)
  expect(held!.at(['720p'])).toEqual(made!.at(['720p']))
  expect(held!.media(['720p'])).toEqual(made!.media(['720p']))
})

const small = fc.integer({ min: 0, max: 8 })
const name = fc.constantFrom('720p', 'audio', '999p')
const take = fc.constantFrom(`${broadcast.broadcastTag}-1`, 'other-9')
const ticks = fc.integer({ min: -10, max: 400_000 })
const changes: fc.Arbitrary<FeedChange> = fc.record({
  kind: fc.constant('change' as const),
  inits: fc.array(fc.record({ take, rendition: name, body: small }), { maxLength: 2 }),
  segments: fc.array(
    fc.record({
      ...{ take, rendition: name, number: small, startTicks: ticks },
      durationTicks: fc.nat(400_000),
      ...{ isOpen: fc.boolean(), isGap: fc.boolean(), keyframeBytes: small },
      parts: fc.array(
        fc.record(
          {
            id: small,
            startTicks: ticks,
            durationTicks: ticks,
            isIndependent: fc.boolean(),
            body: small,
          },
          { requiredKeys: ['id', 'startTicks', 'durationTicks', 'isIndependent'] },
        ),
        { maxLength: 3 },
      ),
    }),
    { maxLength: 3 },
  ),
  playlists: fc.array(
    fc.record(
      {
        name,
        kind: fc.constantFrom('video' as const, 'audio' as const),
        entries: fc.array(
          fc.record(
            {
              number: fc.oneof(small, fc.nat()),
              ...{ take, rendition: name },
              gap: fc.record({
                startTicks: ticks,
                durationTicks: fc.nat(99),
                timescale: fc.constant(90),
              }),
            },
            { requiredKeys: ['number', 'take', 'rendition'] },
          ),
          { maxLength: 3 },
        ),
        first: small,
        discontinuitySequence: small,
        next: fc.option(fc.record({ partId: small, number: small, take, rendition: name })),
      },
      { requiredKeys: ['name', 'kind', 'entries'] },
    ),
    { maxLength: 2 },
  ),
  coming: fc.array(fc.record({ take, rendition: name, numbers: fc.array(small) }), {
    maxLength: 2,
  }),
})

test('no change makes it throw, or changes bytes that are listed', () => {
  fc.assert(
    fc.property(fc.array(changes, { maxLength: 8 }), fc.nat(2), (told, gaps) => {
      const { home } = heardHome()
      const part = home.part(`${broadcast.broadcastTag}-1`, '720p', 14)!
      const bytes = Buffer.from(part.bytes)
      for (const head of told) {
        for (let i = 0; i < 6; i++) {
          home.accept({ head: { kind: 'body' }, body: Buffer.from(`body ${i}`) }, holder)
        }
        home.accept({ head, body: none }, holder)
      }
      for (let i = 0; i < gaps; i++) home.addGap()
      new BroadcastTexts(home, new FakeClock()).at(['720p', 'audio', '999p'])
      const still = home.part(`${broadcast.broadcastTag}-1`, '720p', 14)
      if (still) expect(still.bytes).toEqual(bytes)
      for (const listed of home.playlistNames) {
        const numbers = home.playlist(listed)!.segments.map((it) => it.number)
        expect(numbers).toEqual(numbers.map((_, index) => numbers[0]! + index))
      }
    }),
    { numRuns: 300 },
  )
})

/** The change that tells of all there is by now, with the point behind it. */
function pointOf(rig: ReturnType<typeof packagerRig>): ResumePoint {
  return {
    connection: 'connection-of-one-publisher',
    packaging: rig.packager.checkpoint(),
    clock: { originSeconds: 10 },
    input: { entry: { timestampMs: 4_000, baseMs: 0, lastMs: {} } },
  }
}

/** A home that hears of a packager at work, with a point in each change but when it is told not to. */
class PointedHome {
  readonly home = freshHome()
  readonly rig = packagerRig()
  isPointed = true
  readonly #samples = [
    ...pictures({
      framesPerSecond: 30,
      fromSeconds: 10,
      seconds: 12,
      isKeyframe: (at) => at % 60 === 0,
    }),
  ]
  #writer = this.#newWriter()

  constructor() {
    startTake(this.rig.packager, takePlan({ names: ['720p'] }), 10)
  }

  /** What the packager has made of those samples, and all before. */
  tell(from: number, until: number): { change: FeedChange; bodies: readonly Buffer[] } {
    for (const sample of this.#samples.slice(from, until)) {
      this.rig.packager.push('take-1', '720p', sample)
    }
    const { change, bodies } = this.#writer.next()
    for (const body of bodies) this.home.accept({ head: { kind: 'body' }, body }, holder)
    const sent = JSON.parse(JSON.stringify(change))
    expect(this.home.accept({ head: sent, body: none }, holder)).toBe('accepted')
    return { change, bodies }
  }

  /** All that is kept is told anew. */
  feedAnew(): void {
    this.#writer = this.#newWriter()
    expect(this.home.accept({ head: opening(), body: none }, holder)).toBe('accepted')
  }

  #newWriter(): FeedWriter {
    return new FeedWriter(this.rig.packager, () => (this.isPointed ? pointOf(this.rig) : undefined))
  }
}

it('keeps the point that is behind all that is listed, with its init sections', () => {
  const it = new PointedHome()
  const { change, bodies } = it.tell(0, 150)
  const told: ResumePoint = JSON.parse(bodies[change.point!.body]!.toString())
  expect(told.packaging.openTakes![0]!.tracks['720p']!.rendition!.init).toBe('')
  expect(it.home.resumePoint).toEqual(JSON.parse(JSON.stringify(pointOf(it.rig))))
  expect(it.home.neededMs(told.connection)).toBe(4_000)
  expect(it.home.neededMs('another connection')).toBeUndefined()
  it.isPointed = false
  it.tell(150, 180)
  expect(it.home.resumePoint).toBeUndefined()
})

it('has no point while a gap of its own is the last, and again behind it', () => {
  const it = new PointedHome()
  it.tell(0, 150)
  expect(it.home.resumePoint).toBeDefined()
  it.home.addGap()
  expect(it.home.resumePoint).toBeUndefined()
  const defined: boolean[] = []
  for (let frame = 150; frame < 330; frame += 15) {
    it.feedAnew()
    it.tell(frame, frame + 15)
    defined.push(it.home.resumePoint !== undefined)
  }
  const segments = it.home.playlist('720p')!.segments
  expect(segments.map(({ number, isGap }) => (isGap ? -number : number))).toEqual([
    1, 2, 3, -4, 5, 6,
  ])
  // What its packager has made of the numbers 3 and 4 meanwhile is refused, and no place to go on from.
  expect(defined).toEqual([...Array(6).fill(false), ...Array(6).fill(true)])
})

it.each([
  ['no JSON', Buffer.from('{"connection":'), 'accepted'],
  ['another thing', Buffer.from('{"connection":"mine"}'), 'accepted'],
  ['not there', undefined, 'malformed'],
])('has no point where what it was told is %s', (_, text, verdict) => {
  const it = new PointedHome()
  it.isPointed = false
  it.tell(0, 150)
  if (text) it.home.accept({ head: { kind: 'body' }, body: text }, holder)
  const point = { body: 0, connection: 'mine', neededMs: 0 }
  const change: FeedChange = {
    ...{ kind: 'change', inits: [], segments: [], playlists: [], coming: [], point },
  }
  expect(it.home.accept({ head: change, body: none }, holder)).toBe(verdict)
  expect(it.home.resumePoint).toBeUndefined()
})

it('has no point in a take that has ended here', () => {
  const it = new PointedHome()
  it.tell(0, 150)
  const { takes, inits } = new FeedWriter(it.rig.packager).next().change
  const renamed = takes!.map((take) => ({ ...take, name: 'take-2', startSeconds: 16 }))
  const change: FeedChange = {
    ...{ kind: 'change', takes: renamed, segments: [], playlists: [], coming: [] },
    inits: inits.map((init) => ({ ...init, take: 'take-2' })),
  }
  it.home.accept({ head: { kind: 'body' }, body: Buffer.from('init of 720p') }, holder)
  expect(it.home.accept({ head: change, body: none }, holder)).toBe('accepted')
  expect(it.home.resumePoint).toBeUndefined()
})
