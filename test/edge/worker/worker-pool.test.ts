// Two workers, real threads, on shared ports: to viewers and to the origin they are one edge.
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect } from 'node:tls'
import { describe, expect, test } from 'vitest'
import type { Clock } from '../../../common/clock.ts'
import { silentLogger } from '../../../common/log.ts'
import { mergeMetrics } from '../../../common/metrics.ts'
import { threadClock } from '../../../common/thread-clock.ts'
import type { ResolvedEdgeConfig } from '../../../config/load.ts'
import { edgeConfigSchema } from '../../../config/schema.ts'
import { startEdge } from '../../../edge/edge-node.ts'
import type { OriginExchange } from '../../support/scripted-origin.ts'
import { TlsClient } from '../../support/tls-client.ts'
import { until } from '../../support/until.ts'
import { WorkerRig } from '../../support/worker-rig.ts'
import { captureLog } from '../front/support.ts'

const segment = (number: number) => `/live/demo/abcdef12-1/720p/${number}.m4s`
const playlist = '/live/demo/720p.m3u8'
const immutable = { 'cache-control': 'public, max-age=31536000, immutable' }

function playlistUpTo(last: number): string {
  const segments = [last - 1, last].map((n) => `#EXTINF:2,\nabcdef12-1/720p/${n}.m4s`)
  return [
    '#EXTM3U',
    '#EXT-X-VERSION:9',
    '#EXT-X-TARGETDURATION:2',
    '#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=1.5',
    '#EXT-X-PART-INF:PART-TARGET=0.5',
    `#EXT-X-MEDIA-SEQUENCE:${last - 1}`,
    '#EXT-X-MAP:URI="abcdef12-1/720p/init.mp4"',
    ...segments,
    '',
  ].join('\n')
}

/** So many fresh connections that both workers have some: 2^-39 that they have not. */
const crowd = 40

/** Ports and workers of this process; its timers are the test runner's too. */
function held(): string[] {
  const ports = process.getActiveResourcesInfo().filter((kind) => kind.startsWith('TCP'))
  const threads = readdirSync('/proc/self/task').map((id) =>
    readFileSync(`/proc/self/task/${id}/comm`, 'utf8').trim(),
  )
  return [...ports, ...threads.filter((name) => name.startsWith('edge-'))].toSorted()
}

describe('two workers', () => {
  test('fill an object once, while it grows and when it is there', async () => {
    await using rig = await WorkerRig.start()
    const body = randomBytes(300_000)
    for (const number of [1, 2, 3, 4]) {
      const early = rig.views(crowd, segment(number))
      const exchange = await rig.origin.next()
      // Without a length, so that its memory has to move.
      exchange.head(200, immutable).write(body.subarray(0, 50_000))
      for (const answer of await early) {
        expect((await answer.bytes(50_000)).equals(body.subarray(0, 50_000))).toBe(true)
      }
      const late = await rig.views(crowd, segment(number))
      exchange.write(body.subarray(50_000, 200_000))
      exchange.end(body.subarray(200_000))
      for (const answer of [...(await early), ...late]) {
        const { body: got, end } = await answer.rest()
        expect(end).toBe('clean')
        expect(got.equals(body)).toBe(true)
      }
      for (const answer of await rig.views(crowd, segment(number))) {
        expect(answer.headers['content-length']).toBe('300000')
        expect(answer.headers['cache-status']).toMatch(/^pop-1; hit; ttl=\d+$/)
        expect((await answer.rest()).body.equals(body)).toBe(true)
      }
    }
    expect(rig.origin.requests).toEqual([1, 2, 3, 4].map(segment))
    const served = await rig.ofEach('cache_requests_total')
    expect(served).toHaveLength(2)
    expect(Math.min(...served)).toBeGreaterThan(0)
    const bytes = await rig.ofEach('cache_bytes')
    expect(bytes[0]! + bytes[1]!).toBeLessThan(4 * 300_000 + 8 * 1_024 + 1)
  })

  test('hold a reload once, answer it everywhere, and nobody gets the one before', async () => {
    await using rig = await WorkerRig.start()
    const waits: OriginExchange[] = []
    rig.origin.respond = (exchange) => {
      const url = exchange.req.url!
      if (url.includes('_HLS_msn')) waits.push(exchange)
      else exchange.head(200).end(url === playlist ? playlistUpTo(6) : 'media')
    }
    for (const answer of await rig.views(crowd, playlist)) {
      expect(await answer.text()).toBe(playlistUpTo(6))
    }
    const held = rig.views(crowd, `${playlist}?_HLS_msn=7`)
    await until('all are held, by one request', async () => {
      const connections = await rig.ofEach('connections', { listener: 'http' })
      return connections[0]! + connections[1]! === crowd && waits.length === 1
    })
    waits[0]!.head(200).end(playlistUpTo(7))
    for (const answer of await held) {
      expect(await answer.text()).toBe(playlistUpTo(7))
      expect(await (await rig.view(playlist)).text()).toBe(playlistUpTo(7))
    }
    const reloads = rig.origin.requests.filter((url) => url.includes('_HLS_msn'))
    expect(new Set(reloads).size).toBe(reloads.length)
    const media = rig.origin.requests.filter((url) => !url.includes('.m3u8'))
    expect(new Set(media).size).toBe(media.length)
  })

  test('break off everywhere what the origin breaks off', async () => {
    await using rig = await WorkerRig.start()
    const views = rig.views(crowd, segment(1))
    const exchange = await rig.origin.next()
    exchange.head(200, { ...immutable, 'content-length': 10 }).write('12345')
    for (const answer of await views) await answer.bytes(5)
    // It is asked for the rest first.
    rig.origin.respond = (again) => again.cut()
    exchange.cut()
    for (const answer of await views) expect((await answer.rest()).end).toBe('broken')
  })

  test('forget everywhere what is purged', async () => {
    await using rig = await WorkerRig.start()
    rig.origin.respond = (exchange) => exchange.head(200, immutable).end('media')
    for (const answer of await rig.views(crowd, segment(1))) await answer.text()
    expect(await rig.pool.purge('/live/demo/')).toEqual({ purged: 1, late: [] })
    for (const answer of await rig.views(crowd, segment(1))) await answer.text()
    expect(rig.origin.requests).toEqual([segment(1), segment(1)])
  })

  test('are named where they have not answered a purge in time, but not where they are gone', async () => {
    let isOver = false
    // A deadline that is over before any thread can have answered.
    const setTimeout: Clock['setTimeout'] = (callback, ms) => {
      if (!isOver) return threadClock.setTimeout(callback, ms)
      queueMicrotask(callback)
      return { cancel() {} }
    }
    const clock: Clock = {
      now: () => threadClock.now(),
      monotonic: () => threadClock.monotonic(),
      setInterval: (callback, ms) => threadClock.setInterval(callback, ms),
      setTimeout,
    }
    await using rig = await WorkerRig.start({ clock })
    rig.origin.respond = (exchange) => exchange.head(200, immutable).end('media')
    await (await rig.view(segment(1))).text()
    isOver = true
    const late = rig.pool.purge('/live/demo/')
    isOver = false
    expect(await late).toEqual({ purged: 0, late: [1, 2] })
    await rig.pool.kill(0)
    isOver = true
    const left = rig.pool.purge('/live/demo/')
    isOver = false
    expect(await left).toEqual({ purged: 0, late: [2] })
    expect((await rig.pool.purge('/live/demo/')).late).toEqual([])
  })

  test('begin an access log with one head, also one that logrotate has made', async () => {
    await using stack = new AsyncDisposableStack()
    const dir = await mkdtemp(join(tmpdir(), 'nearcast-edge-'))
    stack.defer(() => rm(dir, { recursive: true }))
    const file = join(dir, 'access.log')
    const accessLog = { file, format: 'w3c' }
    const rig = stack.use(await WorkerRig.start({ workers: 4, config: { accessLog } }))
    for (let rotated = 0; rotated < 20; rotated++) {
      const lines = readFileSync(file, 'utf8').trimEnd().split('\n')
      expect(lines.map((line) => line.split(':')[0])).toEqual(['#Version', '#Software', '#Fields'])
      await rename(file, `${file}.${rotated}`)
      if (rotated % 2) await writeFile(file, '')
      await rig.pool.call('reopen-log', undefined)
    }
  })

  test('serve by TLS, and take up sessions that began at the other', async () => {
    await using rig = await WorkerRig.start()
    rig.origin.respond = (exchange) => exchange.head(200, immutable).end('media')
    const client = new TlsClient(rig.ca)
    const url = `https://localhost:${rig.address.tlsPort}${segment(1)}`
    const answers = await Promise.all(Array.from({ length: crowd }, () => client.get(url)))
    client.close()
    for (const answer of answers) expect(answer.body.toString()).toBe('media')
    expect(rig.origin.requests).toEqual([segment(1)])

    const to = { host: '127.0.0.1', port: rig.address.tlsPort, servername: 'localhost', ca: rig.ca }
    const first = connect({ ...to, maxVersion: 'TLSv1.2' })
    await once(first, 'secureConnect')
    const session = first.getSession()!
    first.destroy()
    for (let i = 0; i < crowd; i++) {
      const again = connect({ ...to, session, maxVersion: 'TLSv1.2' })
      await once(again, 'secureConnect')
      expect(again.isSessionReused()).toBe(true)
      again.destroy()
    }
  })
})

describe.each([0, 1])('when worker %i dies', (dead) => {
  test('transfers of the other go on to the byte, and its successor serves', async () => {
    await using rig = await WorkerRig.start()
    const body = randomBytes(200_000)
    const views = rig.views(crowd, segment(1))
    const first = await rig.origin.next()
    first.head(200, { ...immutable, 'content-length': body.length }).write(body.subarray(0, 90_000))
    for (const answer of await views) await answer.bytes(90_000)
    await rig.pool.kill(dead)
    // Whoever fills it now asks again from the start; it is the same to the byte.
    rig.origin.respond = (exchange) =>
      exchange.head(200, { ...immutable, 'content-length': body.length }).end(body)
    first.end(body.subarray(90_000))
    const ends = await Promise.all((await views).map((answer) => answer.rest()))
    const whole = ends.filter(({ end }) => end === 'clean')
    expect(whole.every((one) => one.body.equals(body))).toBe(true)
    expect(whole.length).toBeGreaterThan(0)
    expect(whole.length).toBeLessThan(crowd)
    await until('both serve again', async () => {
      for (const answer of await rig.views(crowd, segment(1))) {
        if (!(await answer.rest()).body.equals(body)) throw new Error('other bytes')
      }
      const served = await rig.ofEach('cache_requests_total')
      return served.length === 2 && Math.min(...served) > 0
    })
  })
})

describe('the pool', () => {
  test('adds up what workers count, also what the dead have counted', async () => {
    await using rig = await WorkerRig.start()
    rig.origin.respond = (exchange) => exchange.head(200, immutable).end('media')
    for (const answer of await rig.views(crowd, segment(1))) await answer.text()
    const page = async () => await mergeMetrics(await rig.pool.metrics())
    const requests = async () =>
      [...(await page()).matchAll(/^nearcast_cache_requests_total\{.*\} (\d+)$/gm)].reduce(
        (sum, [, count]) => sum + Number(count),
        0,
      )
    expect(await requests()).toBe(crowd)
    expect(await page()).toMatch(/^nearcast_cache_fills_total\{.*\} 1$/m)
    expect(await page()).toMatch(/^nearcast_cache_objects 1$/m)
    await rig.pool.kill(0)
    expect(await requests()).toBe(crowd)
    await until('it is there again', async () => (await rig.ofEach('cache_objects')).length === 2)
    await rig.pool.kill(1)
    for (const answer of await rig.views(1, segment(1))) await answer.text()
    expect(await requests()).toBe(crowd + 1)
    expect(rig.pool.stats.bytesOut).toBeLessThanOrEqual('media'.length * (crowd + 1))
  })

  test('gives up when workers die again and again', async () => {
    await using rig = await WorkerRig.start({ workers: 1 })
    for (let deaths = 1; deaths <= 5; deaths++) {
      await until('a worker is there', async () => (await rig.ofEach('cache_objects')).length === 1)
      await rig.pool.kill(0)
    }
    expect((await rig.pool.failed).message).toContain('again and again')
    await expect(rig.view(segment(1))).rejects.toThrow('ECONNREFUSED')
  })

  test('starts no worker beside the process that has taken the ports over', async () => {
    const { log, lines } = captureLog()
    await using rig = await WorkerRig.start({ log })
    // It is to be started anew in a moment.
    await rig.pool.kill(0)
    await rig.pool.stopListening()
    const anew = () => lines.find(({ msg }) => String(msg).includes('started anew:'))
    const settled = () => anew() ?? lines.find(({ msg }) => msg === 'worker started anew')
    await until('it is decided', () => settled() !== undefined)
    expect(anew()).toMatchObject({ worker: 1, msg: expect.stringContaining('another process') })
    await expect(rig.view(segment(1))).rejects.toThrow('ECONNREFUSED')
  })

  test('leaves nothing behind, neither at its end nor where a port is taken', async () => {
    const holder = createServer().listen(0, '127.0.0.1')
    await once(holder, 'listening')
    const { port } = holder.address() as AddressInfo
    const before = held()
    const taken = { host: '127.0.0.1', port, enabled: true }
    // The last port to be opened, when the others are.
    await expect(WorkerRig.start({ config: { rtmp: taken } })).rejects.toThrow(
      `Port ${port} on 127.0.0.1 is already in use`,
    )
    {
      await using rig = await WorkerRig.start()
      rig.origin.respond = (exchange) => exchange.head(200, immutable).end('media')
      for (const answer of await rig.views(4, segment(1))) await answer.text()
      expect(held()).not.toEqual(before)
    }
    await until('all is gone', () => {
      expect(held()).toEqual(before)
      return true
    })
    holder.close()
  })

  test('lets what is under way end before it goes', async () => {
    const rig = await WorkerRig.start()
    const views = await (async () => {
      const asked = rig.views(crowd, segment(1))
      const exchange = await rig.origin.next()
      exchange.head(200, { ...immutable, 'content-length': 10 }).write('01234')
      for (const answer of await asked) await answer.bytes(5)
      const closed = rig.pool[Symbol.asyncDispose]()
      await until('nobody is let in', () =>
        rig.view(segment(2)).then(
          () => false,
          () => true,
        ),
      )
      exchange.end('56789')
      const ends = await Promise.all((await asked).map((answer) => answer.rest()))
      await closed
      return ends
    })()
    for (const { body, end } of views) {
      expect(end).toBe('clean')
      expect(body.toString()).toBe('0123456789')
    }
    await rig[Symbol.asyncDispose]()
  })
})

describe('an edge', () => {
  test('does not start where somebody has its port, who would share it', async () => {
    const holder = createServer().listen({ port: 0, host: '127.0.0.1', reusePort: true })
    await once(holder, 'listening')
    const { port } = holder.address() as AddressInfo
    const dir = await mkdtemp(join(tmpdir(), 'nearcast-edge-'))
    const config = edgeConfigSchema.parse({
      role: 'edge',
      node: { id: 'pop-1' },
      dataDir: dir,
      cluster: { coordinator: 'http://127.0.0.1:1', secret: 'x'.repeat(32) },
      tls: { host: '127.0.0.1', port },
      http: { enabled: false },
      admin: { port: 0 },
    }) as ResolvedEdgeConfig
    await expect(startEdge(config, silentLogger)).rejects.toThrow(
      `Port ${port} on 127.0.0.1 is already in use`,
    )
    holder.close()
    await once(holder, 'close')
    await (await startEdge(config, silentLogger))[Symbol.asyncDispose]()
    await rm(dir, { recursive: true })
  })
})
