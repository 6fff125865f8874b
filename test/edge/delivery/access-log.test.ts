// The access log in real files, and where it is bounded on files that a test holds up.
import { mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { silentLogger } from '../../../common/log.ts'
import { Metrics } from '../../../common/metrics.ts'
import { createThreadLock } from '../../../common/thread-lock.ts'
import {
  AccessLog,
  type AccessLogOptions,
  type Exchange,
} from '../../../edge/delivery/access-log.ts'
import { jsonLine, redactTarget, w3cLine } from '../../../edge/delivery/access-log-lines.ts'
import { DeliveryHandler } from '../../../edge/delivery/delivery-handler.ts'
import { StaticPages } from '../../../edge/delivery/static-pages.ts'
import { Listeners } from '../../support/cache-rig.ts'
import { FakeClock, settle } from '../../support/fake-clock.ts'
import { ScriptedOrigin } from '../../support/scripted-origin.ts'
import { until } from '../../support/until.ts'

const folder = mkdtempSync(path.join(tmpdir(), 'nearcast-access-log-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const segment = '/live/demo/abcdef12-1/720p/7.m4s'
const exchange: Exchange = {
  at: Date.UTC(2026, 0, 2, 3, 4, 5),
  method: 'GET',
  target: `${segment}?token=s3cret`,
  status: 200,
  bytes: 1_234,
  ms: 12.34,
  outcome: 'hit',
  address: '192.0.2.77',
  agent: 'VLC/3.0 (X11)',
  protocol: 'h2',
}

interface Rig extends AsyncDisposable {
  clock: FakeClock
  metrics: Metrics
  accessLog: AccessLog
  file: string
  text: () => string
  count: (result: string) => Promise<number | undefined>
}

let files = 0

async function start(
  config: Partial<AccessLogOptions['config']> = {},
  more: Partial<AccessLogOptions> = {},
): Promise<Rig> {
  const file = path.join(folder, `${++files}.log`)
  const clock = new FakeClock()
  const metrics = new Metrics('edge', 'pop-1', '0')
  const accessLog = await AccessLog.open({
    config: { file, format: 'json', sampleRate: 1, addresses: 'full', ...config },
    clock,
    log: silentLogger,
    metrics,
    lock: createThreadLock(),
    ...more,
  })
  return {
    clock,
    metrics,
    accessLog,
    file,
    text: () => readFileSync(file, 'utf8'),
    async count(result) {
      const all = await metrics.registry.getMetricsAsJSON()
      const counter = all.find(({ name }) => name === 'nearcast_access_log_entries_total')
      return counter?.values.find(({ labels }) => labels.result === result)?.value
    },
    [Symbol.asyncDispose]: () => accessLog[Symbol.asyncDispose](),
  }
}

describe('a line', () => {
  test('as JSON', () => {
    expect(JSON.parse(jsonLine(exchange, 'full'))).toEqual({
      time: '2026-01-02T03:04:05.000Z',
      address: '192.0.2.77',
      method: 'GET',
      target: segment,
      status: 200,
      bytes: 1_234,
      ms: 12.3,
      cache: 'hit',
      agent: 'VLC/3.0 (X11)',
      protocol: 'h2',
    })
  })

  test('as W3C extended: as many fields as its head names, none with a space in it', async () => {
    await using rig = await start({ format: 'w3c' })
    rig.accessLog.note({ ...exchange, outcome: undefined, agent: '' })
    rig.accessLog.note({ ...exchange, target: '/live/demo/720p.m3u8?_HLS_msn=4' })
    await rig.accessLog[Symbol.asyncDispose]()
    const lines = rig.text().trimEnd().split('\n')
    expect(lines[0]).toBe('#Version: 1.0')
    const fields = lines[2]!.replace('#Fields: ', '').split(' ')
    expect(lines[3]).toBe(`2026-01-02 03:04:05 192.0.2.77 GET ${segment} - 200 1234 0.012 - - h2`)
    expect(lines[4]).toContain(' /live/demo/720p.m3u8 _HLS_msn=4 200 ')
    for (const line of lines.slice(3)) expect(line.split(' ')).toHaveLength(fields.length)
  })

  test.each([
    ['192.0.2.77', 'full', '192.0.2.77'],
    ['192.0.2.77', 'truncated', '192.0.2.0'],
    ['::ffff:192.0.2.77', 'truncated', '192.0.2.0'],
    ['2001:db8:1:2:3::4', 'truncated', '2001:db8:1::'],
    ['2001:db8:1:2:3::4', 'none', '-'],
    ['', 'full', '-'],
  ] as const)('shows the address %s, %s, as %s', (address, how, shown) => {
    expect(JSON.parse(jsonLine({ ...exchange, address }, how)).address).toBe(shown)
    expect(w3cLine({ ...exchange, address }, how)).toContain(` ${shown} GET `)
  })

  test.each([
    [
      '/live/a/v.m3u8?_HLS_msn=4&token=x&_HLS_part=2&CMCD=y',
      '/live/a/v.m3u8',
      '_HLS_msn=4&_HLS_part=2',
    ],
    ['/live/a/v.m3u8?_HLS_msn=secret-with-dashes', '/live/a/v.m3u8', ''],
    ['/live/a/v.m3u8?s3cret', '/live/a/v.m3u8', ''],
    ['/t/eyJ.tok.en/live/a/v.m3u8', '/t/-/live/a/v.m3u8', ''],
    ['/t/s3cret', '/t/-', ''],
    [`/live/nc_${'k'.repeat(32)}/index.m3u8`, '/live/nc_[redacted]', ''],
    ['/a b\n"\u00e9', '/a%20b%0A"%C3%A9', ''],
  ])('keeps of %j no secret', (target, shown, query) => {
    const redacted = redactTarget(target)
    expect(redacted.path.startsWith(shown)).toBe(true)
    expect(redacted.query).toBe(query)
    for (const line of [jsonLine, w3cLine]) {
      const text = line({ ...exchange, target }, 'full')
      expect(text).not.toMatch(/s3cret|tok\.en|k{8}|secret-with/)
      expect(text.trimEnd()).not.toContain('\n')
    }
  })

  test('is not as long as its sender wants it, and has no half of a key at its end', () => {
    const target = `/${'x'.repeat(500)}nc_${'k'.repeat(32)}${'y'.repeat(5_000)}`
    const line = jsonLine({ ...exchange, target, agent: 'z'.repeat(5_000) }, 'full')
    expect(line.length).toBeLessThan(1_000)
    expect(line).not.toContain('kk')
  })

  test('holds no line break nor space of an agent that has one', () => {
    const hostile = { ...exchange, agent: 'a\r\n2026 forged\tline \u2028' }
    expect(w3cLine(hostile, 'full')).toContain(' a??2026+forged?line+? hit ')
  })
})

describe('writing', () => {
  test('is one write for what came in 250 ms', async () => {
    const writes: string[] = []
    const openFile = async () => ({
      write: async (text: string) => void writes.push(text),
      close: async () => {},
    })
    await using rig = await start({}, { openFile })
    for (let i = 0; i < 3; i++) rig.accessLog.note(exchange)
    await rig.clock.advance(249)
    expect(writes).toEqual([])
    await rig.clock.advance(1)
    expect(writes).toHaveLength(1)
    expect(writes[0]!.split('\n')).toHaveLength(4)
    expect(rig.clock.pending).toBe(0)
  })

  test('does not wait when 64 KB have come together', async () => {
    await using rig = await start()
    for (let i = 0; i < 300; i++) rig.accessLog.note(exchange)
    await until('the lines', () => rig.text().split('\n').length > 250)
  })

  test('drops and counts what a slow disk does not take, and goes on when it does', async () => {
    const held: (() => void)[] = []
    let lines = 0
    const openFile = async () => ({
      async write(text: string) {
        lines += text.split('\n').length - 1
        await new Promise<void>((resolve) => held.push(resolve))
      },
      close: async () => {},
    })
    const rig = await start({}, { openFile })
    const long = { ...exchange, agent: 'x'.repeat(1_800) }
    for (let i = 0; i < 5_000; i++) rig.accessLog.note(long)
    const dropped = (await rig.count('dropped'))!
    expect(dropped).toBeGreaterThan(2_000)
    expect(held).toHaveLength(1)
    while (lines + dropped < 5_000) {
      held.shift()?.()
      await settle()
    }
    held.shift()?.()
    await settle()
    expect(await rig.count('written')).toBe(5_000 - dropped)
    expect(await rig.count('dropped')).toBe(dropped)
    await rig.accessLog[Symbol.asyncDispose]()
  })

  test('is never so large that lines of other threads could come between', async () => {
    const writes: string[] = []
    const first = Promise.withResolvers<void>()
    const openFile = async () => ({
      async write(text: string) {
        if (writes.push(text) === 1) await first.promise
      },
      close: async () => {},
    })
    const rig = await start({}, { openFile })
    for (let i = 0; i < 5_000; i++) rig.accessLog.note(exchange)
    first.resolve()
    await rig.accessLog[Symbol.asyncDispose]()
    expect(writes.join('').split('\n')).toHaveLength(5_001)
    for (const text of writes) {
      expect(text.endsWith('\n')).toBe(true)
      expect(text.length).toBeLessThan(512 * 1024)
    }
  })

  test('that fails is counted, and tried again with the next lines', async () => {
    let isFull = true
    const openFile = async () => ({
      async write() {
        if (isFull) throw new Error('ENOSPC')
      },
      close: async () => {},
    })
    await using rig = await start({}, { openFile })
    rig.accessLog.note(exchange)
    await rig.clock.advance(250)
    isFull = false
    rig.accessLog.note(exchange)
    await rig.clock.advance(250)
    expect([await rig.count('written'), await rig.count('dropped')]).toEqual([1, 1])
  })

  test('goes to a new file of the name after reopen', async () => {
    await using rig = await start({ format: 'w3c' })
    rig.accessLog.note({ ...exchange, bytes: 1 })
    await rig.clock.advance(250)
    await until('the line', () => rig.text().includes(' 200 1 '))
    renameSync(rig.file, `${rig.file}.1`)
    await rig.accessLog.reopen()
    rig.accessLog.note({ ...exchange, bytes: 2 })
    await rig.accessLog[Symbol.asyncDispose]()
    expect(readFileSync(`${rig.file}.1`, 'utf8')).not.toContain(' 200 2 ')
    expect(rig.text()).toMatch(/^#Version.*\n#.*\n#.*\n[^#\n]* 200 2 .*\n$/)
  })

  test('has one head where several begin a file at once', async () => {
    await using rig = await start({ format: 'w3c' })
    const lock = createThreadLock()
    const begin = () => start({ format: 'w3c', file: `${rig.file}.shared` }, { lock })
    const logs = await Promise.all(Array.from({ length: 8 }, begin))
    for (const { accessLog } of logs) {
      accessLog.note(exchange)
      await accessLog[Symbol.asyncDispose]()
    }
    const lines = readFileSync(`${rig.file}.shared`, 'utf8').trimEnd().split('\n')
    expect(lines.filter((line) => line.startsWith('#'))).toEqual(lines.slice(0, 3))
    expect(lines).toHaveLength(3 + logs.length)
  })

  test('to a folder that is not there is refused at the start', async () => {
    const file = path.join(folder, 'nowhere', 'access.log')
    await expect(start({ file })).rejects.toThrow('accessLog.file cannot be written: ENOENT')
  })
})

test('a sample is drawn before anything is put together', async () => {
  const draws = [0.05, 0.2, 0.099]
  await using rig = await start({ sampleRate: 0.1 }, { random: () => draws.shift()! })
  expect([1, 2, 3].map(() => rig.accessLog.samples())).toEqual([true, false, true])
})

describe.each(['h1', 'h2', 'fast', 'fast-h2'] as const)('requests over %s', (protocol) => {
  test('are noted with what was sent, also those that are refused, and those that leave', async () => {
    await using stack = new AsyncDisposableStack()
    const gateway = stack.use(await ScriptedOrigin.start())
    const body = 'x'.repeat(600_000)
    gateway.respond = ({ req, res }) => {
      if (!req.url!.includes('/9.m4s')) res.writeHead(200).end(body)
    }
    const rig = stack.use(await start())
    const delivery = new DeliveryHandler({
      name: 'pop-1',
      cache: { memoryBytes: 10_000_000, maxObjectBytes: 1_000_000 },
      upstream: { connectTimeoutMs: 1_000, waitTargetDurations: 3 },
      pickGateways: () => [gateway.url],
      authorize: async () => 'node-token',
      isReady: () => true,
      pages: new StaticPages(new Map()),
      accessLog: rig.accessLog,
      clock: rig.clock,
      log: silentLogger,
      metrics: rig.metrics,
    })
    const listeners = stack.use(
      await Listeners.start(
        (req, res) => delivery.handle(req, res),
        () => delivery.road,
      ),
    )
    stack.use(delivery)
    const get = async (target: string, options = {}) =>
      (await listeners.view(protocol, target, options)).text()
    await get(segment)
    await get(`${segment}?token=s3cret`, { headers: { range: 'bytes=0-9', 'user-agent': 'me' } })
    await get('/time')
    const unknown = await get('/live/demo/nothing')
    const leaving = new AbortController()
    const left = get(segment.replace('/7.', '/9.'), { signal: leaving.signal })
    await until('the question upstream', () => gateway.requests.length === 2)
    leaving.abort()
    await expect(left).rejects.toThrow()
    const lines = await until('all lines', async () => {
      await rig.clock.advance(250)
      const made = rig.text().trimEnd().split('\n')
      return made.length === 5 && made.map((line) => JSON.parse(line))
    })
    const name = protocol.endsWith('h2') ? 'h2' : 'http'
    expect(lines).toMatchObject([
      { target: segment, status: 200, bytes: 600_000, cache: 'miss', protocol: name },
      { target: segment, status: 206, bytes: 10, cache: 'hit', agent: 'me' },
      { target: '/time', status: 200, bytes: 24 },
      { target: '/live/demo/nothing', status: 404, bytes: unknown.length },
      { status: 499, bytes: 0, address: '127.0.0.1' },
    ])
  })
})
