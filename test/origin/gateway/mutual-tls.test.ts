// The gateway's port with mutual TLS: a certificate of the configured authority opens it, and nothing else does.
import { once } from 'node:events'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { connect as connectTcp, Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type ConnectionOptions, connect } from 'node:tls'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { UpstreamClient } from '../../../common/cache/upstream.ts'
import { systemClock } from '../../../common/clock.ts'
import { createClusterAuth } from '../../../common/cluster/cluster-auth.ts'
import { caFile, LocalCa } from '../../../common/local-ca/local-ca.ts'
import { createLogger, silentLogger } from '../../../common/log.ts'
import { createNetworkList } from '../../../common/net/allowed-networks.ts'
import { type MutualTls, readMutualTls } from '../../../common/net/mutual-tls.ts'
import { encodeProxyHeader } from '../../../common/net/proxy-protocol.ts'
import { proxyTlv } from '../../../common/relay/proxy-tlvs.ts'
import {
  type UpstreamOutcome,
  UpstreamPublisher,
} from '../../../common/relay/upstream-publisher.ts'
import { GatewayDoor } from '../../../origin/gateway/gateway-door.ts'
import type { RelayedPublisher } from '../../../origin/gateway/publish-ingest.ts'
import { NextHop } from '../../support/next-hop.ts'
import { until } from '../../support/until.ts'

let folder: string
let ca: LocalCa
let caPem: string
let door: GatewayDoor
let port: number
let publishers: RelayedPublisher[]
let onRtmp: (socket: Socket) => void
let lines: string[]

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'nearcast-mutual-'))
  ca = await LocalCa.open({ dir: join(folder, 'ca'), clock: systemClock })
  caPem = await readFile(caFile(join(folder, 'ca')), 'utf8')
  publishers = []
  lines = []
  onRtmp = (socket) => socket.end('taken')
  door = new GatewayDoor({
    // Nobody is let in for where they come from.
    trusted: createNetworkList([]),
    auth: createClusterAuth('ncs_for_tests_only_0123456789abcdef'),
    firstByteTimeoutMs: 5_000,
    clock: systemClock,
    log: createLogger({ name: 'gw-1', destination: { write: (line) => lines.push(line) } }),
    onRtmp(socket, publisher) {
      publishers.push(publisher)
      onRtmp(socket)
    },
    onRequest(_req, res) {
      res.end('served')
    },
  })
  port = await door.startTls({ host: '127.0.0.1', port: 0 }, await nodeTls(ca))
})

afterEach(async () => {
  await door[Symbol.asyncDispose]()
  await rm(folder, { recursive: true })
})

async function nodeTls(authority: LocalCa): Promise<MutualTls> {
  const { certificatePem: cert, keyPem: key } = await authority.issueForNode(['127.0.0.1'])
  return { cert, key, ca: caPem }
}

/** Everything that was answered; rejects when TLS fails. */
async function say(tls: ConnectionOptions, ...bytes: (Buffer | string)[]): Promise<string> {
  const socket = connect({ ca: caPem, ...tls, host: '127.0.0.1', port })
  const failed = once(socket, 'error').then(([err]) => {
    throw err
  })
  const said = (async () => {
    await once(socket, 'secureConnect')
    for (const piece of bytes) socket.write(piece)
    const chunks: Buffer[] = []
    for await (const chunk of socket) chunks.push(chunk)
    return Buffer.concat(chunks).toString('latin1')
  })()
  said.catch(() => {})
  failed.catch(() => {})
  return await Promise.race([said, failed])
}

function publish(tls: MutualTls): Promise<UpstreamOutcome> {
  const preface = encodeProxyHeader({ source: { address: '203.0.113.7', port: 40_000 } })
  return UpstreamPublisher.open(
    { host: '127.0.0.1', port, app: 'live', streamName: 'a-key', preface, tls },
    { clock: systemClock, connectTimeoutMs: 3_000, publishTimeoutMs: 3_000 },
  )
}

const get = 'GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n'

describe('with a certificate of the authority', () => {
  test('HTTP is served, without another credential', async () => {
    expect(await say(await nodeTls(ca), get)).toContain('served')
  })

  test('RTMP is taken, with the PROXY header inside TLS', async () => {
    const header = encodeProxyHeader({
      source: { address: '203.0.113.7', port: 40_000 },
      tlvs: [{ type: proxyTlv.popId, value: Buffer.from('pop-1') }],
    })
    expect(await say(await nodeTls(ca), header, Buffer.from([3]))).toBe('taken')
    expect(publishers).toEqual([{ clientAddress: '203.0.113.7', pop: 'pop-1' }])
  })

  test('an edge publishes by it', async () => {
    using hop = await NextHop.start()
    onRtmp = (socket) => {
      const onwards = connectTcp({ host: '127.0.0.1', port: hop.port })
      socket.pipe(onwards).pipe(socket)
    }
    const setNoDelay = vi.spyOn(Socket.prototype, 'setNoDelay')
    const outcome = await publish(await nodeTls(ca))
    expect(outcome).toHaveProperty('started')
    expect(hop.names).toEqual(['a-key'])
    // Else a piece of media waits until the one before has been acknowledged.
    expect(setNoDelay.mock.contexts.some((it) => (it as Socket).remotePort === port)).toBe(true)
    setNoDelay.mockRestore()
    if ('started' in outcome) outcome.started.destroy()
  })

  test('an edge that gives a publish up resets its connection', async () => {
    using hop = await NextHop.start()
    const fault = Promise.withResolvers<string | undefined>()
    onRtmp = (socket) => {
      socket.once('error', (err: NodeJS.ErrnoException) => fault.resolve(err.code))
      const onwards = connectTcp({ host: '127.0.0.1', port: hop.port })
      socket.pipe(onwards).pipe(socket)
    }
    const outcome = await publish(await nodeTls(ca))
    if (!('started' in outcome)) throw new Error(JSON.stringify(outcome))
    outcome.started.abandon()
    expect(await outcome.started.closed).toBe('given up')
    expect(await fault.promise).toBe('ECONNRESET')
  })

  test('the cache of an edge asks by it', async () => {
    await using client = new UpstreamClient({
      clock: systemClock,
      log: silentLogger,
      connectTimeoutMs: 3_000,
      tls: await nodeTls(ca),
    })
    const body = await new Promise<string>((resolve, reject) => {
      let text = ''
      client.fetch(
        { origins: [`https://127.0.0.1:${port}`], path: '/x', headers: {} },
        {
          head: () => {},
          data: (piece) => {
            text += Buffer.from(piece).toString()
          },
          end: () => resolve(text),
          fail: (failure, detail) => reject(new Error(`${failure}: ${detail}`)),
        },
      )
    })
    expect(body).toBe('served')
  })
})

describe('nobody else gets in', () => {
  test.each<[string, () => Promise<ConnectionOptions>]>([
    ['without a certificate', async () => ({})],
    [
      'with one of another authority',
      async () => {
        const other = await LocalCa.open({ dir: join(folder, 'other'), clock: systemClock })
        return await nodeTls(other)
      },
    ],
    [
      'with one that is for servers only',
      async () => {
        const { certificatePem: cert, keyPem: key } = await ca.issue(['127.0.0.1'])
        return { cert, key }
      },
    ],
    ['by TLS 1.2', async () => ({ ...(await nodeTls(ca)), maxVersion: 'TLSv1.2' })],
  ])('%s', async (_name, tls) => {
    // By TLS 1.3 a client takes itself for connected before its certificate has been looked at.
    expect(await say(await tls(), get).catch(() => '')).toBe('')
    expect(publishers).toEqual([])
  })

  test('and an edge that may not publish hears so, as of a gateway that is away', async () => {
    const other = await LocalCa.open({ dir: join(folder, 'other'), clock: systemClock })
    expect(await publish(await nodeTls(other))).toEqual({
      failed: expect.stringMatching(/:\d+: closed .*: it does not believe the certificate/),
    })
    expect(publishers).toEqual([])
  })

  test('and the log says who it was, and what was wrong with the certificate', async () => {
    const other = await LocalCa.open({ dir: join(folder, 'other'), clock: systemClock })
    await publish(await nodeTls(other))
    const line = await until('a line', () => lines[0])
    expect(JSON.parse(line)).toMatchObject({
      ...{ msg: 'connection refused', reason: 'tls', peer: '127.0.0.1' },
      detail: 'certificate not believed: UNABLE_TO_VERIFY_LEAF_SIGNATURE',
    })
  })

  test('and an edge does not believe a gateway of another authority', async () => {
    const other = await LocalCa.open({ dir: join(folder, 'other'), clock: systemClock })
    const strange = await readFile(caFile(join(folder, 'other')), 'utf8')
    await expect(say({ ...(await nodeTls(other)), ca: strange }, get)).rejects.toThrow()
  })
})

test('files that cannot be used are named', async () => {
  const files = {
    certFile: join(folder, 'node.pem'),
    keyFile: join(folder, 'node-key.pem'),
    caFile: join(folder, 'cluster-ca.pem'),
  }
  await expect(readMutualTls(files)).rejects.toThrow(/node\.pem.*ENOENT/)
  const { cert, ca: authority } = await nodeTls(ca)
  const { key: otherKey } = await nodeTls(ca)
  await writeFile(files.certFile, cert)
  await writeFile(files.caFile, authority)
  await writeFile(files.keyFile, otherKey)
  await expect(readMutualTls(files)).rejects.toThrow(/node-key\.pem.*mismatch/)
})
