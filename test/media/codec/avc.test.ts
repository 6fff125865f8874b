import { expect, test } from 'vitest'
import { readAvcConfig } from '../../../media/codec/avc.ts'
import { readSps } from '../../../media/codec/avc-sps.ts'
import { mutate, randomNumbers } from '../mutations.ts'
import { hex } from '../rtmp/wire.ts'

// Made by x264 164 in ffmpeg 5.1: `-f lavfi -i testsrc2=size=…:rate=… -c:v libx264 … -f flv`.
const records = {
  baseline1080p30:
    '0142c028ffe100196742c028da01e0089f970110000003001000000303c0f1832a01000468ce0fc8',
  high180p2997:
    '0164000dffe100186764000dacd941419f9f011000003e90000ea600f142996001000668ebe3cb22c0fdf8f800',
  main576i25: '014d401effe10018674d401ef405a126c044000003000400000300c87c50aa8001000468de0fc8',
  high422With10Bits:
    '017a001fffe1001b677a001fb6cb405217f113e022000003000200000300c81e30654001000468ce0fc8fefafa00',
  high444:
    '01f4001fffe1001967f4001f919680a02ff89c0440000003004000001e03c60ca801000568ce0f1920fff8f800',
  gray: '0164001fffe100196764001ff2d01405ff1380b640000003004000001e03c60ca801000468ce0fc8fcf8f800',
  uhd120WithColourAndAspect:
    '0142c03cffe100206742c03cda00f0010fbff000d000b6a02020280000030008000007807840215001000468ce0fc8',
}

test.each([
  [
    'baseline1080p30' as const,
    {
      width: 1920,
      height: 1080,
      framesPerSecond: 30,
      codecString: 'avc1.42c028',
      isInterlaced: false,
      chromaFormat: 1,
      bitDepth: 8,
      nalLengthBytes: 4,
    },
  ],
  [
    'high180p2997' as const,
    { width: 320, height: 180, framesPerSecond: 30_000 / 1001, codecString: 'avc1.64000d' },
  ],
  [
    'main576i25' as const,
    {
      width: 720,
      height: 576,
      framesPerSecond: 25,
      codecString: 'avc1.4d401e',
      isInterlaced: true,
    },
  ],
  [
    'high422With10Bits' as const,
    { width: 642, height: 362, framesPerSecond: 50, chromaFormat: 2, bitDepth: 10 },
  ],
  ['high444' as const, { width: 640, height: 360, framesPerSecond: 60, chromaFormat: 3 }],
  ['gray' as const, { width: 640, height: 360, framesPerSecond: 60, chromaFormat: 0 }],
  [
    'uhd120WithColourAndAspect' as const,
    { width: 3840, height: 2160, framesPerSecond: 120, levelIdc: 60 },
  ],
])('%s is read', (name, expected) => {
  const read = readAvcConfig(hex(records[name]))
  expect(read).toMatchObject({ value: expected })
})

test('parameter sets are handed out as they are', () => {
  const read = readAvcConfig(hex(records.main576i25))
  if ('fault' in read) throw new Error(read.fault)
  expect(read.value.sps.map((set) => set.length)).toEqual([24])
  expect(read.value.pps).toEqual([hex('68de0fc8')])
})

const good = hex(records.baseline1080p30)
const changed = (at: number, byte: number) => {
  const copy = Buffer.from(good)
  copy[at] = byte
  return copy
}

test.each([
  ['R30 nothing', Buffer.alloc(0)],
  ['R30 another version', changed(0, 2)],
  ['R30 NAL lengths of three bytes', changed(4, 0xfe)],
  ['R30 no SPS', hex('0142c028ff e0 01 000468ce0fc8')],
  ['R30 31 SPS', changed(5, 0xff)],
  ['R30 an SPS of 64 KiB', changed(6, 0xff)],
  ['R30 no PPS', good.subarray(0, 33)],
  ['R30 255 PPS', changed(33, 255)],
  ['R30 the SPS is no SPS', changed(8, 0x68)],
  ...Array.from({ length: 12 }, (_, i): [string, Buffer] => [
    `R30 cut to ${i * 3} bytes`,
    good.subarray(0, i * 3),
  ]),
])('%s is a fault', (_, record) => {
  expect(readAvcConfig(record)).toEqual({ fault: expect.any(String) })
})

/** Writes an SPS of baseline profile bit by bit. */
function baselineSps(fields: {
  widthBlocks: number
  heightBlocks: number
  crop?: number[]
  timing?: number[]
}) {
  let bits = ''
  const u = (value: number, count: number) => {
    bits += value.toString(2).padStart(count, '0')
  }
  const ue = (value: number) => {
    const code = (value + 1).toString(2)
    bits += '0'.repeat(code.length - 1) + code
  }
  for (const value of [0, 0, 0, 0, 1]) ue(value)
  u(0, 1)
  ue(fields.widthBlocks - 1)
  ue(fields.heightBlocks - 1)
  u(1, 1)
  u(1, 1)
  u(fields.crop ? 1 : 0, 1)
  for (const value of fields.crop ?? []) ue(value)
  u(fields.timing ? 1 : 0, 1)
  if (fields.timing) {
    u(0b00001, 5)
    for (const value of fields.timing) u(value, 32)
    u(1, 1)
    u(0, 6)
  }
  u(1, 1)
  bits = bits.padEnd(Math.ceil(bits.length / 8) * 8, '0')
  const body = Buffer.from(bits.match(/.{8}/g)!.map((byte) => Number.parseInt(byte, 2)))
  // Emulation prevention, as an encoder would.
  const escaped: number[] = []
  for (const byte of body) {
    const [a, b] = escaped.slice(-2)
    if (a === 0 && b === 0 && byte <= 3) escaped.push(3)
    escaped.push(byte)
  }
  return Buffer.from([0x67, 66, 0, 30, ...escaped])
}

test.each([
  [
    'R30 1 × 1 pixels',
    { widthBlocks: 1, heightBlocks: 1, crop: [0, 7, 0, 7] },
    { width: 2, height: 2 },
  ],
  [
    '1 000 frames per second',
    { widthBlocks: 40, heightBlocks: 20, timing: [1, 2000] },
    { framesPerSecond: 1000 },
  ],
  [
    'timing of no time',
    { widthBlocks: 40, heightBlocks: 20, timing: [0, 0] },
    { framesPerSecond: undefined },
  ],
  ['the largest picture of any level', { widthBlocks: 1055, heightBlocks: 132 }, { width: 16_880 }],
])('%s is read', (_, fields, expected) => {
  expect(readSps(baselineSps(fields))).toMatchObject({ value: expected })
})

test.each([
  ['R30 65536 × 65536', baselineSps({ widthBlocks: 4096, heightBlocks: 4096 })],
  ['R30 65552 wide', baselineSps({ widthBlocks: 4097, heightBlocks: 1 })],
  [
    'R30 crop as large as the picture',
    baselineSps({ widthBlocks: 1, heightBlocks: 1, crop: [4, 4, 0, 0] }),
  ],
  [
    'R30 crop larger than the picture',
    baselineSps({ widthBlocks: 1, heightBlocks: 1, crop: [0, 0, 0, 2 ** 20] }),
  ],
  ['R30 a code with 32 leading zeros', Buffer.concat([hex('67 42 00 1e'), Buffer.alloc(64)])],
  ['R30 an SPS without end', Buffer.concat([hex('67 42 00 1e'), Buffer.alloc(2000, 0xff)])],
  ['R30 only a header', hex('67 42 00 1e')],
])('%s is a fault', (_, sps) => {
  expect(readSps(sps)).toEqual({ fault: expect.any(String) })
})

test('10 000 damaged records read within bounds or are faults', () => {
  const random = randomNumbers(5)
  const seeds = Object.values(records).map(hex)
  let read = 0
  for (let run = 0; run < 10_000; run++) {
    const config = readAvcConfig(mutate(seeds, random))
    if ('fault' in config) continue
    read++
    const { width, height, framesPerSecond } = config.value
    expect(width > 0 && width <= 16_888 && height > 0 && height <= 16_888).toBe(true)
    expect(framesPerSecond === undefined || Number.isFinite(framesPerSecond)).toBe(true)
  }
  expect(read).toBeGreaterThan(100)
})
