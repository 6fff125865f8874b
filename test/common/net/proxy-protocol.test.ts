// PROXY headers: what is written is read again, byte for byte, at any cut; what is broken is refused.
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { addressText } from '../../../common/net/addresses.ts'
import {
  encodeProxyHeader,
  maxProxyHeaderBytes,
  parseProxyHeader,
  tlvText,
} from '../../../common/net/proxy-protocol.ts'

const address = fc
  .oneof(
    fc.uint8Array({ minLength: 4, maxLength: 4 }),
    fc.uint8Array({ minLength: 16, maxLength: 16 }),
  )
  .map((bytes) => addressText(Buffer.from(bytes)))
const endpoint = fc.record({ address, port: fc.nat(65_535) })
const tlvs = fc.array(
  fc.record({
    type: fc.nat(255),
    value: fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
  }),
  { maxLength: 8 },
)

// A header that another implementation wrote: version 2, PROXY, TCP4, 192.0.2.10:51000 → 198.51.100.5:443,
// TLV 0x02 "a.test" — laid out by hand from §2.2 of the specification.
const sample = Buffer.from(
  `0d0a0d0a000d0a515549540a 21 11 0015 c000020a c6336405 c738 01bb 02 0006 612e74657374`.replaceAll(
    ' ',
    '',
  ),
  'hex',
)

describe('version 2', () => {
  it('reads a header laid out by hand', () => {
    const parsed = parseProxyHeader(Buffer.concat([sample, Buffer.from('GET /')]))
    expect(parsed).toEqual({
      kind: 'header',
      length: sample.length,
      header: {
        version: 2,
        source: { address: '192.0.2.10', port: 51_000 },
        destination: { address: '198.51.100.5', port: 443 },
        tlvs: [{ type: 2, value: Buffer.from('a.test') }],
      },
    })
  })

  it('writes the same bytes', () => {
    const written = encodeProxyHeader({
      source: { address: '::ffff:192.0.2.10', port: 51_000 },
      destination: { address: '198.51.100.5', port: 443 },
      tlvs: [{ type: 2, value: Buffer.from('a.test') }],
    })
    expect(written.toString('hex')).toBe(sample.toString('hex'))
  })

  it('round-trips any addresses, ports and TLVs', () => {
    fc.assert(
      fc.property(endpoint, endpoint, tlvs, (source, destination, values) => {
        const bytes = encodeProxyHeader({ source, destination, tlvs: values })
        expect(parseProxyHeader(bytes)).toEqual({
          kind: 'header',
          length: bytes.length,
          header: { version: 2, source, destination, tlvs: values },
        })
      }),
    )
  })

  it('asks for more at every cut before its end', () => {
    for (let cut = 0; cut < sample.length; cut++) {
      expect(parseProxyHeader(sample.subarray(0, cut)), `cut at ${cut}`).toEqual({ kind: 'more' })
    }
  })

  it('writes LOCAL without a source and keeps its TLVs', () => {
    const parsed = parseProxyHeader(
      encodeProxyHeader({ tlvs: [{ type: 0xe0, value: Buffer.from('pop-1') }] }),
    )
    expect(parsed.kind === 'header' && parsed.header.source).toBeUndefined()
    expect(parsed.kind === 'header' && tlvText(parsed.header, 0xe0)).toBe('pop-1')
  })

  it('writes a destination that is a name as the unspecified address', () => {
    const parsed = parseProxyHeader(
      encodeProxyHeader({
        source: { address: '2001:db8::1', port: 1 },
        destination: { address: 'gateway.local', port: 80 },
      }),
    )
    expect(parsed.kind === 'header' && parsed.header.destination).toEqual({
      address: '::',
      port: 80,
    })
  })

  it('takes a health check of a load balancer (LOCAL, no addresses)', () => {
    const local = Buffer.from('0d0a0d0a000d0a515549540a20000000', 'hex')
    expect(parseProxyHeader(local)).toMatchObject({ kind: 'header', length: 16 })
  })

  it.each([
    ['version 1 in the byte of version 2', '11110000'],
    ['an unassigned command', '22110000'],
    ['UDP', '21120000'],
    ['a UNIX socket', '213100d8'],
    ['a length beyond the bound', '2111ffff'],
    ['a length below its addresses', '2111000bc000020ac6336405c73801'],
    ['a TLV longer than the header', '2111000fc000020ac6336405c73801bb020001'],
    ['a TLV cut inside its length', '2111000ec000020ac6336405c73801bb0200'],
  ])('refuses %s', (_name, rest) => {
    const bytes = Buffer.from(`0d0a0d0a000d0a515549540a${rest}`, 'hex')
    expect(parseProxyHeader(bytes).kind).toBe('invalid')
  })

  it('refuses a claimed length before the bytes come', () => {
    const claim = Buffer.from('0d0a0d0a000d0a515549540a21111000', 'hex')
    expect(parseProxyHeader(claim).kind).toBe('invalid')
    expect(maxProxyHeaderBytes).toBeLessThan(16 + 0x1000)
  })
})

describe('version 1', () => {
  it.each([
    [
      'PROXY TCP4 192.0.2.1 192.0.2.2 51000 80',
      { address: '192.0.2.1', port: 51_000 },
      { address: '192.0.2.2', port: 80 },
    ],
    [
      'PROXY TCP6 2001:DB8::1 2001:db8::2 1 2',
      { address: '2001:db8::1', port: 1 },
      { address: '2001:db8::2', port: 2 },
    ],
    ['PROXY UNKNOWN', undefined, undefined],
    ['PROXY UNKNOWN ffff::1 ffff::2 1 2', undefined, undefined],
  ])('reads %s', (line, source, destination) => {
    const bytes = Buffer.from(`${line}\r\nGET / HTTP/1.1\r\n`)
    expect(parseProxyHeader(bytes)).toEqual({
      kind: 'header',
      length: line.length + 2,
      header: { version: 1, source, destination, tlvs: [] },
    })
    expect(parseProxyHeader(bytes.subarray(0, line.length + 1))).toEqual({ kind: 'more' })
  })

  it.each([
    ['a port too large', 'PROXY TCP4 192.0.2.1 192.0.2.2 65536 80\r\n'],
    ['an address that is none', 'PROXY TCP4 192.0.2 192.0.2.2 1 80\r\n'],
    ['two spaces', 'PROXY  TCP4 192.0.2.1 192.0.2.2 1 80\r\n'],
    ['an unknown family', 'PROXY UDP4 192.0.2.1 192.0.2.2 1 80\r\n'],
    ['a line without an end', `PROXY UNKNOWN ${'x'.repeat(107)}`],
  ])('refuses %s', (_name, line) => {
    expect(parseProxyHeader(Buffer.from(line)).kind).toBe('invalid')
  })
})

describe('no header', () => {
  it.each(['\x03\0\0', 'GET / HTTP/1.1', 'POST /', 'PROPFIND /', 'PUT /', '\x16\x03\x01'])(
    '%j is something else',
    (text) => {
      expect(parseProxyHeader(Buffer.from(text, 'latin1'))).toEqual({ kind: 'absent' })
    },
  )

  it('never throws, whatever comes', () => {
    const prefixes = [
      '',
      '0d0a0d0a000d0a515549540a',
      '0d0a0d0a000d0a515549540a2111',
      '50524f585920',
    ]
    fc.assert(
      fc.property(
        fc.constantFrom(...prefixes),
        fc.uint8Array({ maxLength: 200 }),
        (prefix, rest) => {
          const bytes = Buffer.concat([Buffer.from(prefix, 'hex'), rest])
          const parsed = parseProxyHeader(bytes)
          if (parsed.kind === 'header') expect(parsed.length).toBeLessThanOrEqual(bytes.length)
        },
      ),
      { numRuns: 1_000 },
    )
  })
})
