// A front door in a process with few file descriptors: viewers are turned away while publishers and the admin port still get in.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { createInterface } from 'node:readline'
import { describe, expect, it, test } from 'vitest'
import { Descriptors } from '../../../edge/front/descriptors.ts'
import { FakeClock } from '../../support/fake-clock.ts'
import { until } from '../../support/until.ts'
import { tlsClient } from './support.ts'

const files = 192
const sourceOf = (path: string) => JSON.stringify(new URL(path, import.meta.url).href)

/** Leaves when nobody writes to it any more. */
const program = `
import { startAdminListener } from ${sourceOf('../../../common/admin/admin-listener.ts')}
import { silentLogger } from ${sourceOf('../../../common/log.ts')}
import { Metrics } from ${sourceOf('../../../common/metrics.ts')}
import { openDoor } from ${sourceOf('./support.ts')}
const door = await openDoor()
const admin = await startAdminListener({
  host: '127.0.0.1',
  port: 0,
  metrics: new Metrics('edge', 'pop-1', '0'),
  log: silentLogger,
  readiness: () => [],
  reload: async () => {},
  drain: () => {},
})
const { port, httpPort, rtmpPort, ca } = door
console.log(JSON.stringify({ port, httpPort, rtmpPort, ca, admin: admin.url }))
process.stdin.resume().on('end', async () => {
  await admin[Symbol.asyncDispose]()
  await door[Symbol.asyncDispose]()
})
`

async function startDoor() {
  const node = [process.execPath, '--input-type=module', '-e', program]
  const child = spawn('sh', ['-c', `ulimit -n ${files}; exec "$@"`, 'sh', ...node], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const exited = once(child, 'exit')
  const [line] = await once(createInterface(child.stdout), 'line')
  const clients = new Set<Socket>()
  return {
    ...(JSON.parse(line) as Record<'port' | 'httpPort' | 'rtmpPort', number> & {
      ca: string
      admin: string
    }),
    clients,
    async [Symbol.asyncDispose]() {
      for (const client of clients) client.destroy()
      child.stdin.end()
      await exited
    },
  }
}

type Door = Awaited<ReturnType<typeof startDoor>>

/** What comes first for these bytes; empty where the connection is closed instead. */
async function answer(socket: Socket, bytes: string): Promise<string> {
  socket.on('error', () => {})
  socket.write(Buffer.from(bytes, 'latin1'))
  const { promise, resolve } = Promise.withResolvers<string>()
  socket.once('data', (piece) => resolve(piece.toString('latin1')))
  socket.once('close', () => resolve(''))
  return promise
}

/** One more connection that stays, and what it was answered. */
async function come({ clients }: Door, port: number, bytes: string): Promise<string> {
  const socket = connect({ host: '127.0.0.1', port })
  clients.add(socket)
  return answer(socket, bytes)
}

const ask = 'GET / HTTP/1.1\r\nHost: localhost\r\n\r\n'
const rtmp = '\x03'

test('near the limit viewers are turned away, then all who come by a public port', async () => {
  await using door = await startDoor()
  const come_ = (port: number, bytes: string) => come(door, port, bytes)
  const comeByTls = async (bytes: string, options = {}) => {
    const socket = await tlsClient(door, options)
    door.clients.add(socket)
    return answer(socket, bytes)
  }
  const isAdminThere = async () => (await fetch(`${door.admin}/livez`)).ok
  const kept = connect({ host: '127.0.0.1', port: door.httpPort })
  door.clients.add(kept)
  expect(await answer(kept, ask)).toContain('200 OK')

  let viewers = 0
  while ((await come_(door.httpPort, ask)) !== '') viewers++
  expect(viewers).toBeGreaterThan(files / 2)
  expect(viewers).toBeLessThan(files * (7 / 8))
  expect(await comeByTls(ask)).toBe('')
  const preface = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'
  expect(await comeByTls(preface, { ALPNProtocols: ['h2'] })).toBe('')
  expect(await comeByTls(rtmp)).toBe(rtmp)
  expect(await come_(door.rtmpPort, rtmp)).toBe(rtmp)
  expect(await answer(kept, ask)).toContain('200 OK')

  while ((await come_(door.rtmpPort, rtmp)) !== '');
  expect(await isAdminThere()).toBe(true)
  expect(await answer(kept, ask)).toContain('200 OK')

  for (const client of door.clients) client.destroy()
  door.clients.clear()
  await until('room again', async () => (await come_(door.httpPort, ask)) !== '')
})

describe('descriptors', () => {
  const socket = (fd: number | undefined) =>
    ({ _handle: fd === undefined ? null : { fd } }) as unknown as Socket

  it('keeps an eighth back, half of it for publishers, and a thousand at most', () => {
    const allowed = (limit: number, kind: 'viewer' | 'unknown') => {
      const clock = new FakeClock()
      const descriptors = new Descriptors({ clock, onScarce() {}, limit: () => limit })
      let fd = 0
      while (descriptors.allows(socket(fd), kind)) fd++
      return fd
    }
    expect([allowed(800, 'viewer'), allowed(800, 'unknown')]).toEqual([700, 750])
    expect([allowed(65_536, 'viewer'), allowed(65_536, 'unknown')]).toEqual([64_512, 65_024])
  })

  it('sees within a second that the limit is another, and lets in who cannot be told', async () => {
    const clock = new FakeClock()
    let limit: number | undefined
    let scarce = 0
    const descriptors = new Descriptors({ clock, onScarce: () => scarce++, limit: () => limit })
    expect(descriptors.allows(socket(1e6), 'viewer')).toBe(true)
    limit = 80
    expect(descriptors.allows(socket(75), 'viewer')).toBe(true)
    await clock.advance(1_000)
    expect(descriptors.allows(socket(75), 'viewer')).toBe(false)
    expect(descriptors.allows(socket(undefined), 'viewer')).toBe(true)
    limit = 800
    await clock.advance(1_000)
    expect(descriptors.allows(socket(75), 'viewer')).toBe(true)
    expect(scarce).toBe(1)
  })
})
