// A cluster at which the internet throws what it has, at every port, while somebody publishes and watches: no
// process ends, the show goes on in one numbering, nobody hostile is kept, and no secret gets into a log.
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { systemClock } from '../../common/clock.ts'
import { createClusterAuth } from '../../common/cluster/cluster-auth.ts'
import { encodeProxyHeader } from '../../common/net/proxy-protocol.ts'
import { hostileRequests } from '../corpus/http.ts'
import { fatalInput, onCsid } from '../corpus/rtmp.ts'
import { connect, createStream, greeting, hex, message, publish } from '../media/rtmp/wire.ts'
import { Cluster } from '../support/cluster.ts'
import { Encoder } from '../support/encoder.ts'
import { type Door, dial, inBatches, provoke, residentBytes } from '../support/hostile-peer.ts'
import { assertSuccessor, type ReadPlaylist, readMediaPlaylist } from '../support/media-playlist.ts'
import { childrenOf, isRunning } from '../support/processes.ts'
import { RtmpTestClient } from '../support/rtmp-client.ts'
import { until } from '../support/until.ts'

const run = promisify(execFile)
/** Hostile bytes end a connection at once; this is before any deadline would. */
const promptLimitMs = 8_000
/** The longest deadlines are 10 s, and the machine may be slow. */
const closeLimitMs = 20_000
const width = 12

describe('a live cluster under attack', () => {
  let cluster: Cluster
  let encoder: Encoder
  let playlistUrl: string
  let pids: number[]
  let last: ReadPlaylist
  let watching: NodeJS.Timeout
  const faults: string[] = []
  let hostileConnections = 0

  const portOf = (url: string) => Number(new URL(url.replace(/^rtmps?/, 'http')).port)
  const edge = () => cluster.facts.edges[0]!
  const doors = () => {
    const gateway = portOf(cluster.facts.gateways[0]!.rtmp)
    const preface = encodeProxyHeader({
      source: { address: '203.0.113.9', port: 4_000 },
      tlvs: [{ type: 0xe0, value: Buffer.from('pop-1') }],
    })
    return {
      'the edge by TLS': { port: portOf(edge().rtmps), tls: true },
      'the gateway': { port: gateway },
      'the gateway, with a PROXY header': { port: gateway, preface },
      'the transcoder': { port: portOf(cluster.facts.transcoders[0]!.rtmp) },
    } satisfies Record<string, Door>
  }
  const receiverPid = () =>
    childrenOf(cluster.facts.transcoders[0]!.pid).find(({ command }) =>
      command.includes('rtmp-receiver'),
    )!.pid

  /** Sends each input on its own connection; answers the names of those that were not hung up on. */
  async function attack(door: Door, inputs: [string, (Buffer | string)[]][]): Promise<string[]> {
    const kept: string[] = []
    await inBatches(inputs, width, async ([name, bytes]) => {
      hostileConnections++
      if ((await provoke(door, bytes, promptLimitMs)) === undefined) kept.push(name)
    })
    return kept
  }

  async function look(): Promise<void> {
    try {
      const now = readMediaPlaylist(await (await fetch(playlistUrl)).text())
      if (last) assertSuccessor(last, now)
      last = now
    } catch (err) {
      faults.push(String(err))
    }
  }

  beforeAll(async () => {
    cluster = await Cluster.start()
    const { streamKey } = cluster.facts.channels[0]!
    encoder = new Encoder({ server: edge().rtmps, streamKey, caFile: cluster.facts.caFile })
    playlistUrl = `${edge().http}/live/demo/360p.m3u8`
    await until('a playlist', async () => (await fetch(playlistUrl)).ok)
    const { edges, gateways, transcoders, coordinator } = cluster.facts
    pids = [...edges, ...gateways, ...transcoders, coordinator].map(({ pid }) => pid)
    pids.push(receiverPid())
    await look()
    watching = setInterval(() => void look(), 500)
  })

  afterAll(async () => {
    clearInterval(watching)
    await encoder?.[Symbol.asyncDispose]()
    await cluster?.[Symbol.asyncDispose]()
  })

  // The first ones wait for deadlines; the others have their time meanwhile.
  test.concurrent('whoever says too little is hung up on', async () => {
    const { https, http } = edge()
    const slow = 'GET /live/demo/index.m3u8 HTTP/1.1\r\nHost: a\r\nX-A: b\r\n'
    const plainTls = { port: portOf(https) }
    const gateway = doors()['the gateway']
    const transcoder = doors()['the transcoder']
    const edgeTls = doors()['the edge by TLS']
    const attacks: [string, Door, (Buffer | string)[]][] = [
      ['TLS that never begins', plainTls, []],
      ['half a ClientHello', plainTls, [hex('16 0301 0200 01 0001fc')]],
      ['TLS, then silence', edgeTls, []],
      ['slow headers by TLS', edgeTls, [slow]],
      ['slow headers', { port: portOf(http) }, [slow]],
      ['slow headers at the gateway', gateway, [slow]],
      [
        'slow headers at the transcoder',
        { port: portOf(cluster.facts.transcoders[0]!.url) },
        [slow],
      ],
      ['slow headers at the coordinator', { port: portOf(cluster.facts.coordinator.url) }, [slow]],
      ['silence at the gateway', gateway, []],
      ['silence at the transcoder', transcoder, []],
      ['half a PROXY header', gateway, [hex('0d0a0d0a000d0a515549540a 21 11 00ff')]],
      ['R02 C0 alone', edgeTls, [hex('03')]],
      ['R02 C0 alone at the gateway', gateway, [hex('03')]],
      ['R02 C0 alone at the transcoder', transcoder, [hex('03')]],
      ['no publish', edgeTls, [greeting, connect, createStream]],
      ['no publish at the transcoder', transcoder, [greeting, connect, createStream]],
      ['an unfinished message', transcoder, [greeting, onCsid(6, 60_000), Buffer.alloc(128)]],
      ['a PROXY header of 64 KiB', gateway, [hex('0d0a0d0a000d0a515549540a 21 11 ffff')]],
      ['a PROXY line without an end', gateway, [`PROXY TCP4 ${'1'.repeat(200)}`]],
      ['a PROXY header, twice', gateway, ['PROXY UNKNOWN\r\nPROXY UNKNOWN\r\n', greeting]],
      ['a PROXY header at the transcoder', transcoder, ['PROXY UNKNOWN\r\n', greeting]],
    ]
    const kept: string[] = []
    await Promise.all(
      attacks.map(async ([name, door, bytes]) => {
        hostileConnections++
        if ((await provoke(door, bytes, closeLimitMs)) === undefined) kept.push(name)
      }),
    )
    expect(kept).toEqual([])
  })

  test.concurrent.each([
    ['the edge by TLS', () => edge().pid],
    ['the gateway', () => cluster.facts.gateways[0]!.pid],
    ['the transcoder', () => cluster.facts.transcoders[0]!.pid],
  ] as const)('a connection before its publish costs %s 1 MiB at most', async (name, pid) => {
    const door = doors()[name]
    const parts = Array.from({ length: 29 }, (_, i) => [onCsid(64 + i, 60_000), Buffer.alloc(128)])
    const kinds = [[Buffer.concat([hex('03'), Buffer.alloc(1_000)])], [greeting, ...parts.flat()]]
    // One of each kind together have to stay below what either may cost.
    const pairs = 150
    const before = residentBytes(pid())
    const sockets = await Promise.all(Array.from({ length: 2 * pairs }, () => dial(door)))
    hostileConnections += sockets.length
    let closed = 0
    for (const [i, socket] of sockets.entries()) {
      socket.resume()
      socket.once('close', () => closed++)
      for (const piece of kinds[i % 2]!) socket.write(piece)
    }
    let most = 0
    await until(
      'all to be hung up on',
      () => {
        most = Math.max(most, residentBytes(pid()))
        return closed === sockets.length
      },
      closeLimitMs,
    )
    expect((most - before) / pairs).toBeLessThan(1024 * 1024)
  })

  test.concurrent.each([
    'the edge by TLS',
    'the gateway',
    'the gateway, with a PROXY header',
    'the transcoder',
  ] as const)('hostile RTMP at %s is hung up on', async (name) => {
    const inputs = fatalInput.map(([id, , bytes]): [string, Buffer[]] => [id, [greeting, ...bytes]])
    const frames = Array.from({ length: 300 }, () =>
      message(9, hex('1701000000'), { csid: 6, streamId: 1 }),
    )
    inputs.push(
      ['R01 another version', [Buffer.from('06')]],
      ['R05 bytes of TLS', [hex('16 0301 0200 01'), Buffer.alloc(600)]],
      ['R05 a banner of SSH', [Buffer.from('SSH-2.0-x\r\n\r\n')]],
      [
        'R18 a million empty messages',
        [greeting, connect, onCsid(9, 0), Buffer.alloc(1_000_000, 0xc9)],
      ],
      ['R22 media of one who does not publish', [greeting, connect, createStream, ...frames]],
    )
    expect(await attack(doors()[name], inputs)).toEqual([])
  })

  test.concurrent('a publish without a good ticket never starts at the transcoder', async () => {
    const { id, rtmp } = cluster.facts.transcoders[0]!
    const secret = readFileSync(join(cluster.dir, 'cluster-secret'), 'utf8').trim()
    const nonce = 'abcdefghijklmnopqrst'
    const claims = {
      liveId: 'demo',
      broadcastId: '5a3ee1a8-6d5f-4c30-9a5e-2f2a34a4ad10',
      broadcastTag: 'abcdefgh',
      broadcastStartedAt: Date.now(),
      epoch: 1_000,
      nonce,
      connection: nonce,
      transcoder: id,
      instance: '5a3ee1a8-6d5f-4c30-9a5e-2f2a34a4ad11',
      record: false,
      takes: 0,
    }
    const hourAgo = { ...systemClock, now: () => Date.now() - 3_600_000 }
    const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')
    const auth = createClusterAuth(secret)
    const tickets: Record<string, string> = {
      none: '',
      junk: 'a.b.c',
      huge: `eyJ${'a'.repeat(3_000)}.a.b`,
      unsigned: `${part({ alg: 'none' })}.${part({ ...claims, aud: 'nearcast-publish' })}.`,
      forged: await createClusterAuth('ncs_another_secret_0123456789abcdef').signTicket(claims),
      expired: await createClusterAuth(secret, hourAgo).signTicket(claims),
      'of another transcoder': await auth.signTicket({ ...claims, transcoder: 'tc-9' }),
      'of an earlier start': await auth.signTicket(claims),
      'of another connection': await auth.signTicket({ ...claims, nonce: 'x'.repeat(20) }),
      'a node token': await auth.issueNodeToken('pop-1', 'edge'),
    }
    for (const [name, ticket] of Object.entries(tickets)) {
      await using client = await RtmpTestClient.publish(rtmp, `${nonce}?ticket=${ticket}`)
      hostileConnections++
      expect({ name, started: client.isStarted }).toEqual({ name, started: false })
      expect(client.statuses.at(-1)?.description, name).toMatch(/\(lease-lost\)$/)
      await client.closed()
    }
  })

  test.concurrent('a second publish on a live connection is refused and the first goes on', async () => {
    const { streamKey } = await cluster.api<{ streamKey: string }>('POST', '/api/v1/channels', {
      liveId: 'second',
    })
    await using client = await RtmpTestClient.publish(cluster.facts.gateways[0]!.rtmp, streamKey)
    expect(client.isStarted).toBe(true)
    client.socket.write(
      Buffer.concat([createStream, publish(cluster.facts.channels[0]!.streamKey, 2)]),
    )
    await until('the refusal', () => client.statuses.some(({ level }) => level === 'error'))
    expect(client.statuses.at(-1)?.code).toBe('NetStream.Publish.BadName')
    expect(client.isClosed).toBe(false)
  })

  test.concurrent.each([
    ['the edge', () => edge().http],
    ['the edge by TLS', () => edge().https],
    ['the gateway', () => cluster.facts.gateways[0]!.url],
    ['the transcoder', () => cluster.facts.transcoders[0]!.url],
  ] as const)('hostile HTTP at %s is refused', async (_, url) => {
    const door = { port: portOf(url()), tls: url().startsWith('https') }
    const wrong: string[] = []
    await inBatches(hostileRequests('localhost'), width, async ([name, bytes]) => {
      hostileConnections++
      const answer = await provoke(door, [bytes], promptLimitMs)
      const statuses = answer?.match(/^HTTP\/1\.1 \d{3}/gm)?.map((line) => Number(line.slice(9)))
      const isRefused =
        statuses?.length === 1 && (statuses[0]! < 500 ? statuses[0]! >= 400 : statuses[0] === 505)
      const isHungUpOn = answer === ''
      if (!isRefused && !isHungUpOn) wrong.push(`${name}: ${answer?.slice(0, 60)}`)
    })
    expect(wrong).toEqual([])
  })

  test('ranges are answered by one range, by all or by none', async () => {
    const uri = new URL(last.segments.at(-2)!.uri, playlistUrl)
    const whole = Buffer.from(await (await fetch(uri)).arrayBuffer())
    const ranges: [string, number, number][] = [
      ['bytes=0-0', 206, 1],
      ['bytes=-1', 206, 1],
      ['bytes=-1000000000000000000', 200, whole.length],
      ['bytes=0-99999999999999999999', 200, whole.length],
      ['bytes=-0', 416, 0],
      ['bytes=9-1', 200, whole.length],
      ['bytes=99999999999-', 416, 0],
      [
        `bytes=${Array.from({ length: 1_000 }, (_, i) => `${i}-${i}`).join(',')}`,
        200,
        whole.length,
      ],
      ['bytes=0-0,1-1', 200, whole.length],
      ['items=0-1', 200, whole.length],
      ['bytes=a-b', 200, whole.length],
    ]
    for (const [range, status, length] of ranges) {
      const answer = await fetch(uri, { headers: { range } })
      const body = await answer.arrayBuffer()
      const got = {
        range,
        status: answer.status,
        length: answer.status === 416 ? 0 : body.byteLength,
      }
      expect(got).toEqual({ range, status, length })
    }
    const again = await fetch(uri)
    expect(again.status).toBe(200)
    expect(Buffer.from(await again.arrayBuffer())).toEqual(whole)
    const head = await fetch(uri, { method: 'HEAD' })
    expect(Number(head.headers.get('content-length'))).toBe(whole.length)
    expect((await head.arrayBuffer()).byteLength).toBe(0)
  })

  test('what a viewer says of itself changes no answer and is not kept', async () => {
    const headers = {
      authorization: 'Bearer of-a-viewer',
      cookie: 'session=of-a-viewer',
      'x-forwarded-host': 'evil.example',
      'x-original-url': '/api/v1/streams',
      'x-http-method-override': 'DELETE',
      origin: 'https://evil.example',
    }
    const uri = new URL(last.segments.at(-1)!.uri, playlistUrl)
    const odd = await fetch(`${uri}?token=of-a-viewer&x=%00`, { headers })
    const oddBody = Buffer.from(await odd.arrayBuffer())
    const plain = await fetch(uri)
    expect(odd.status).toBe(200)
    expect(plain.headers.get('cache-status')).toMatch(/pop-1; hit/)
    expect(Buffer.from(await plain.arrayBuffer())).toEqual(oddBody)
    for (const { headers: answered } of [odd, plain]) {
      expect(JSON.stringify([...answered])).not.toMatch(/evil|of-a-viewer|set-cookie/)
    }
  })

  test('afterwards every process lives, and the show has gone on in one take', async () => {
    const number = last.segments.at(-1)!.number
    await until('three more segments', () => last.segments.at(-1)!.number >= number + 3)
    expect(faults).toEqual([])
    expect(pids.filter((pid) => !isRunning(pid))).toEqual([])
    expect(receiverPid()).toBe(pids.at(-1))
    expect(last.segments.some((it) => it.hasDiscontinuity || it.isGap)).toBe(false)
    expect(last.discontinuitySequence).toBe(0)
    const url = playlistUrl.replace('360p.m3u8', 'index.m3u8')
    const { stderr } = await run('ffmpeg', ['-v', 'error', '-t', '4', '-i', url, '-f', 'null', '-'])
    expect(stderr).toBe('')
  })

  test('the logs have a line for each at most, and no secret', async () => {
    const { edges, gateways, transcoders, channels, coordinator } = cluster.facts
    const secret = readFileSync(join(cluster.dir, 'cluster-secret'), 'utf8').trim()
    let warnings = 0
    for (const { id } of [...edges, ...gateways, ...transcoders]) {
      const log = cluster.log(id)
      for (const text of [channels[0]!.streamKey, secret, coordinator.adminToken, 'of-a-viewer']) {
        expect(log.includes(text), `${id} has a secret in its log`).toBe(false)
      }
      expect(log).not.toMatch(/eyJ[\w-]{8,}\.[\w-]+\./)
      const levels = log.split('\n').map((line) => Number(/^\{"level":(\d+)/.exec(line)?.[1]))
      warnings += levels.filter((level) => level >= 40).length
      expect(levels.filter((level) => level >= 50)).toEqual([])
    }
    expect(warnings).toBeLessThanOrEqual(hostileConnections)
  })
})
