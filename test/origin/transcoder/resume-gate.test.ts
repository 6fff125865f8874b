import { expect, test } from 'vitest'
import type { MediaMessage } from '../../../media/rtmp/message.ts'
import { ResumeGate } from '../../../origin/transcoder/resume-gate.ts'

const config = (kind: 'video' | 'audio', byte = 1): MediaMessage => ({
  ...{ kind, timestampMs: 0 },
  payload: Buffer.from(kind === 'video' ? [0x17, 0, 0, 0, 0, byte] : [0xaf, 0, byte]),
})
const picture = (timestampMs: number, isKeyframe = false): MediaMessage => ({
  ...{ kind: 'video', timestampMs },
  payload: Buffer.from([isKeyframe ? 0x17 : 0x27, 1, 0, 0, 0, 9]),
})
const sound = (timestampMs: number): MediaMessage => ({
  ...{ kind: 'audio', timestampMs },
  payload: Buffer.from([0xaf, 1, 9]),
})

const entry = { timestampMs: 4_000, baseMs: 0, lastMs: {} }
const withPicture = { video: 'AQ==', audio: 'AQ==', entry }

function kinds(gate: ResumeGate, messages: readonly MediaMessage[], nowMs = 0): string[] {
  return messages.map((it) => gate.push(it, nowMs).kind)
}

test('nothing counts before the keyframe of the entry, and the newest headers come before it', () => {
  const gate = new ResumeGate(withPicture, 0)
  const first = [config('video', 7), config('video'), config('audio'), picture(2_000, true)]
  expect(kinds(gate, [...first, sound(3_990), picture(4_000)])).toEqual(Array(6).fill('waits'))
  expect(gate.push(picture(4_000, true), 0)).toEqual({
    kind: 'entered',
    headers: [config('video'), config('audio')],
    behind: [],
  })
})

test('sound that came before the keyframe and belongs behind it follows it', () => {
  const gate = new ResumeGate(withPicture, 0)
  const before = [picture(2_000, true), sound(3_980), sound(4_000), sound(4_021), picture(3_967)]
  expect(kinds(gate, before)).toEqual(Array(5).fill('waits'))
  const behind = [sound(4_000), sound(4_021)]
  expect(gate.push(picture(4_000, true), 0)).toMatchObject({ kind: 'entered', behind })
})

test.each<[string, MediaMessage, string]>([
  ['a later picture', picture(4_001), 'missed'],
  ['sound that is a little later', sound(6_000), 'waits'],
  ['sound that is far later', sound(6_001), 'missed'],
  [
    'the keyframe, by a receiver that has seen 2^32 pass',
    picture(4_000 + 2 ** 32, true),
    'entered',
  ],
])('%s', (_, message, kind) => {
  expect(kinds(new ResumeGate(withPicture, 0), [message])).toEqual([kind])
})

test('without a picture sound is the entry', () => {
  const gate = new ResumeGate({ audio: 'AQ==', entry }, 0)
  expect(kinds(gate, [config('audio'), sound(3_990), sound(4_000)])).toEqual([
    ...['waits', 'waits'],
    'entered',
  ])
})

test('a replay that does not come is not waited for', () => {
  const gate = new ResumeGate(withPicture, 1_000)
  expect(kinds(gate, [picture(3_000)], 6_000)).toEqual(['waits'])
  expect(kinds(gate, [picture(3_040)], 6_001)).toEqual(['missed'])
})
