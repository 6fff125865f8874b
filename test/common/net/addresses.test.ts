// Addresses in all their spellings come out as one.
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  addressBytes,
  addressGroup,
  addressText,
  plainAddress,
} from '../../../common/net/addresses.ts'

describe('plainAddress', () => {
  it.each([
    ['192.0.2.1', '192.0.2.1'],
    ['::ffff:192.0.2.1', '192.0.2.1'],
    ['::FFFF:c000:0201', '192.0.2.1'],
    ['::', '::'],
    ['0:0:0:0:0:0:0:1', '::1'],
    ['2001:DB8:0:0:1::1', '2001:db8::1:0:0:1'],
    ['fe80::1%eth0', 'fe80::1'],
    ['64:ff9b::192.0.2.33', '64:ff9b::c000:221'],
    ['example.org', 'example.org'],
    ['', ''],
  ])('%s is %s', (text, plain) => {
    expect(plainAddress(text)).toBe(plain)
  })
})

describe('addressBytes', () => {
  it('gives back what addressText wrote', () => {
    const bytes = fc.oneof(
      fc.uint8Array({ minLength: 4, maxLength: 4 }),
      fc.uint8Array({ minLength: 16, maxLength: 16 }),
    )
    fc.assert(
      fc.property(bytes, (value) => {
        const text = addressText(Buffer.from(value))
        expect(addressText(addressBytes(text)!)).toBe(text)
        expect(addressBytes(text)!.length).toBe(text.includes(':') ? 16 : 4)
      }),
    )
  })

  it.each(['1.2.3', '1.2.3.256', ':::', 'g::1', 'localhost', '[::1]'])('refuses %s', (text) => {
    expect(addressBytes(text)).toBeUndefined()
  })
})

describe('addressGroup', () => {
  it.each([
    ['203.0.113.7', '203.0.113.7'],
    ['::ffff:203.0.113.7', '203.0.113.7'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
    ['2001:db8:1:2::', '2001:db8:1:2::/64'],
    ['::1', '::/64'],
    ['', ''],
  ])('%s counts as %s', (address, group) => {
    expect(addressGroup(address)).toBe(group)
  })

  it('depends on the first 64 bits of an IPv6 address alone', () => {
    const half = fc.uint8Array({ minLength: 8, maxLength: 8 })
    fc.assert(
      fc.property(half, half, half, (network, one, other) => {
        fc.pre(network.some((byte) => byte !== 0))
        const [a, b] = [one, other].map((host) => addressText(Buffer.from([...network, ...host])))
        expect(addressGroup(a!)).toBe(addressGroup(b!))
      }),
    )
  })
})
