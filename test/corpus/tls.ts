// The L corpus: first bytes on a TLS port. ClientHellos are built here, since no TLS library sends these.

export interface HelloParts {
  version?: number
  ciphers?: number[]
  compression?: number[]
  /** Type and content. */
  extensions?: [number, Buffer][]
}

export interface TlsCase {
  name: string
  bytes: Buffer
  /** `hello`: a ServerHello comes; `refused`: none does, and the connection ends. */
  outcome: 'hello' | 'refused'
}

const u16 = (...values: number[]) =>
  Buffer.from(values.flatMap((value) => [value >> 8, value & 255]))
const sized = (bytes: Buffer) => Buffer.concat([u16(bytes.length), bytes])
const hex = (text: string) => Buffer.from(text.replaceAll(' ', ''), 'hex')

export function record(type: number, bytes: Buffer, version = 0x0301): Buffer {
  return Buffer.concat([Buffer.from([type]), u16(version), sized(bytes)])
}

const serverName = (name: Buffer, kind = 0): [number, Buffer] => [
  0,
  sized(Buffer.concat([Buffer.from([kind]), sized(name)])),
]
const protocols = (...names: string[]): [number, Buffer] => [
  16,
  sized(Buffer.concat(names.map((name) => Buffer.from([name.length, ...Buffer.from(name)])))),
]
/** Groups, formats and signatures that every server of TLS 1.2 can do something with. */
const usual: [number, Buffer][] = [
  [10, sized(u16(0x001d, 0x0017))],
  [11, hex('01 00')],
  [13, sized(u16(0x0403, 0x0804, 0x0401))],
]
/** AES-GCM with ECDHE. */
const good = [0xc02b, 0xc02f]

export function clientHello({
  version = 0x0303,
  ciphers = good,
  compression = [0],
  extensions = [],
}: HelloParts): Buffer {
  const body = Buffer.concat([
    u16(version),
    Buffer.alloc(32, 7),
    Buffer.from([0]),
    sized(u16(...ciphers)),
    Buffer.from([compression.length, ...compression]),
    sized(
      Buffer.concat(
        [...usual, ...extensions].flatMap(([type, content]) => [u16(type), sized(content)]),
      ),
    ),
  ])
  return Buffer.concat([Buffer.from([1, body.length >> 16]), u16(body.length & 0xffff), body])
}

const hello = (parts: HelloParts) => record(22, clientHello(parts))
const named = (name: string) => hello({ extensions: [serverName(Buffer.from(name, 'latin1'))] })
const times = (count: number, bytes: Buffer) =>
  Buffer.concat(Array.from({ length: count }, () => bytes))

export const tlsCases: TlsCase[] = [
  ['TLS 1.2', hello({}), 'hello'],
  ['SSL 3', hello({ version: 0x0300, ciphers: [0xc013, 0x002f] }), 'refused'],
  ['TLS 1.0', hello({ version: 0x0301, ciphers: [0xc013, 0x002f] }), 'refused'],
  ['TLS 1.1', hello({ version: 0x0302, ciphers: [0xc013, 0x002f] }), 'refused'],
  [
    'SSL 2',
    hex(
      `802e 01 0002 0015 0000 0010 010080 020080 030080 040080 050080 060040 0700c0${'11'.repeat(16)}`,
    ),
    'refused',
  ],
  ['RC4', hello({ ciphers: [0xc007, 0xc011, 0x0005, 0x0004] }), 'refused'],
  ['3DES', hello({ ciphers: [0xc008, 0xc012, 0x000a] }), 'refused'],
  ['no encryption', hello({ ciphers: [0xc006, 0xc010, 0x003b, 0x0002, 0x0001] }), 'refused'],
  ['export ciphers', hello({ ciphers: [0x0003, 0x0006, 0x0008, 0x0014] }), 'refused'],
  [
    'ciphers without a certificate',
    hello({ ciphers: [0xc018, 0xc019, 0x0034, 0x00a6] }),
    'refused',
  ],
  ['no cipher', hello({ ciphers: [] }), 'refused'],
  [
    'a fallback that should not be',
    hello({ version: 0x0302, ciphers: [...good, 0x5600] }),
    'refused',
  ],
  ['compression beside none', hello({ compression: [1, 0] }), 'hello'],
  ['compression alone', hello({ compression: [1] }), 'refused'],
  ['the name of an address', named('192.0.2.1'), 'hello'],
  ['a name of nobody', named('evil.example'), 'hello'],
  ['a name of dots', named('..'), 'hello'],
  ['a name with a path', named('../../etc/passwd'), 'hello'],
  ['the name __proto__', named('__proto__'), 'hello'],
  ['a name that is not ASCII', named('\xff\xfe'), 'hello'],
  ['a name with NUL', named('localhost\0.evil.example'), 'refused'],
  ['a name that is empty', named(''), 'hello'],
  ['a name of 4 KB', named('a'.repeat(4_096)), 'refused'],
  ['a name of another kind', hello({ extensions: [serverName(Buffer.from('a'), 9)] }), 'refused'],
  ['a list of names that lies', hello({ extensions: [[0, hex('00ff 00 0001 61')]] }), 'refused'],
  [
    'two names',
    hello({ extensions: [serverName(Buffer.from('a')), serverName(Buffer.from('b'))] }),
    'refused',
  ],
  ['ALPN of nobody', hello({ extensions: [protocols('evil', 'h3', 'spdy/3')] }), 'refused'],
  ['ALPN of nothing', hello({ extensions: [[16, hex('0000')]] }), 'refused'],
  ['ALPN with a name of nothing', hello({ extensions: [[16, hex('0001 00')]] }), 'refused'],
  ['ALPN that lies', hello({ extensions: [[16, hex('00ff 05 6874')]] }), 'refused'],
  [
    'ALPN of junk beside HTTP/1.1',
    hello({ extensions: [protocols('\x00\r\n', 'http/1.1')] }),
    'hello',
  ],
  ['versions of nobody', hello({ extensions: [[43, hex('04 7a7a 7a7b')]] }), 'refused'],
  [
    'data before the handshake',
    Buffer.concat([
      hello({ extensions: [[42, Buffer.alloc(0)]] }),
      record(23, Buffer.alloc(1_000), 0x0303),
    ]),
    'hello',
  ],
  ['a hello of 2^24 bytes', record(22, hex('01 ffffff 0303')), 'refused'],
  ['a hello of nothing', record(22, hex('01 000000')), 'refused'],
  ['a hello cut short', hello({}).subarray(0, 40), 'refused'],
  [
    'a record of 2^16 bytes',
    Buffer.concat([hex('16 0301 ffff'), Buffer.alloc(65_535, 1)]),
    'refused',
  ],
  ['a record of nothing', record(22, Buffer.alloc(0)), 'refused'],
  ['records of nothing', times(1_000, record(22, Buffer.alloc(0))), 'refused'],
  ['alerts first', times(1_000, record(21, hex('01 00'))), 'refused'],
  ['changes of cipher first', times(1_000, record(20, hex('01'))), 'refused'],
  ['data first', record(23, Buffer.alloc(100)), 'refused'],
  ['a heartbeat first', record(24, hex('01 4000')), 'refused'],
  ['a finish first', record(22, hex('14 00000c 000000000000000000000000')), 'refused'],
  ['a hello of a server', record(22, hex('02 000026 0303').subarray(0)), 'refused'],
  [
    'a thousand extensions of nobody',
    hello({
      extensions: Array.from({ length: 1_000 }, (_, i): [number, Buffer] => [
        0x5000 + i,
        Buffer.alloc(4),
      ]),
    }),
    'hello',
  ],
  [
    'the same extension twice',
    hello({
      extensions: [
        [23, Buffer.alloc(0)],
        [23, Buffer.alloc(0)],
      ],
    }),
    'refused',
  ],
].map(([name, bytes, outcome]) => ({ name, bytes, outcome }) as TlsCase)
