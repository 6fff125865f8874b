// An address gets its burst, then its rate; what belongs together counts together, and nobody else is touched.
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createNetworkList } from '../../../common/net/allowed-networks.ts'
import { RequestPace } from '../../../edge/admission/request-pace.ts'

function rig(perSecond = 10, bytesPerSecond?: number) {
  let now = 0
  const clock = { monotonic: () => now, advance: (ms: number) => (now += ms) }
  let refused = 0
  const exempt = [createNetworkList(['127.0.0.0/8']), createNetworkList(['10.0.5.0/24'])]
  const onRefused = () => refused++
  const pace = new RequestPace({ perSecond, exempt, bytesPerSecond, clock, onRefused })
  const allowed = (address: string, tries: number) =>
    Array.from({ length: tries }, () => pace.allows(address)).filter(Boolean).length
  return { clock, pace, allowed, refused: () => refused }
}

test('lets two seconds of its rate through at once, then the rate', () => {
  const { clock, allowed, refused } = rig()
  expect(allowed('192.0.2.1', 100)).toBe(20)
  expect(refused()).toBe(80)
  clock.advance(1_000)
  expect(allowed('192.0.2.1', 100)).toBe(10)
  clock.advance(60_000)
  expect(allowed('192.0.2.1', 100)).toBe(20)
})

test('counts a /64 as one, a mapped address as itself, and others apart', () => {
  const { allowed } = rig()
  expect(allowed('2001:db8::1', 15)).toBe(15)
  expect(allowed('2001:db8::2', 15)).toBe(5)
  expect(allowed('2001:db8:0:1::1', 15)).toBe(15)
  expect(allowed('192.0.2.7', 15)).toBe(15)
  expect(allowed('::ffff:192.0.2.7', 15)).toBe(5)
})

test('does not count who is exempt', () => {
  const { allowed, refused } = rig()
  for (const address of ['127.0.0.1', '::ffff:127.0.0.1', '10.0.5.9']) {
    expect(allowed(address, 1_000)).toBe(1_000)
  }
  expect(allowed('10.0.6.9', 1_000)).toBe(20)
  expect(refused()).toBe(980)
})

test('lets ten seconds of bytes be sent at once, then none asked for until the rate holds', () => {
  const { clock, pace, allowed, refused } = rig(10, 1_000)
  pace.charge('2001:db8::1', 10_000)
  expect(allowed('2001:db8::2', 1)).toBe(1)
  pace.charge('2001:db8::2', 5_000)
  expect(allowed('2001:db8::1', 1)).toBe(0)
  expect(refused()).toBe(1)
  clock.advance(4_999)
  expect(allowed('2001:db8::1', 1)).toBe(0)
  clock.advance(1)
  expect(allowed('2001:db8::1', 1)).toBe(1)
})

test('charges nobody who is exempt, and nobody without a limit', () => {
  const { pace, allowed } = rig(10, 1_000)
  pace.charge('10.0.5.9', 1e9)
  expect(allowed('10.0.5.9', 1)).toBe(1)
  const unbounded = rig()
  unbounded.pace.charge('192.0.2.1', 1e9)
  expect(unbounded.allowed('192.0.2.1', 1)).toBe(1)
})

test('lets the slowest rate have one', () => {
  const { clock, allowed } = rig(0.1)
  expect(allowed('192.0.2.1', 5)).toBe(1)
  clock.advance(10_000)
  expect(allowed('192.0.2.1', 5)).toBe(1)
})

test('remembers an address while fewer than ten thousand others come', () => {
  const { allowed } = rig()
  expect(allowed('192.0.2.1', 20)).toBe(20)
  for (let i = 0; i < 9_000; i++) allowed(`198.18.${i >> 8}.${i & 255}`, 1)
  expect(allowed('192.0.2.1', 1)).toBe(0)
})

test('never lets more than burst and rate through in any span of time', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(300), { maxLength: 300 }), (gapsMs) => {
      const { clock, allowed } = rig()
      let now = 0
      const taken: number[] = []
      for (const gapMs of gapsMs) {
        clock.advance(gapMs)
        now += gapMs
        if (allowed('192.0.2.1', 1) === 1) taken.push(now)
      }
      return taken.every((end, last) =>
        taken
          .slice(0, last + 1)
          .every((start, first) => last - first + 1 <= 20 + ((end - start) * 10) / 1_000 + 1e-6),
      )
    }),
  )
})
