// A cluster whose edges reach the gateways by mutual TLS alone, configured as docs/operating.md says: a stream goes in
// and out over it, an edge with a certificate of another authority is refused, a gateway stands still, and one dies.
import { execFile } from 'node:child_process'
import { X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { parse } from 'yaml'
import { nearcast } from '../bin/command.ts'
import { Encoder } from '../support/encoder.ts'
import { freePort } from '../support/free-port.ts'
import { TcpProxy } from '../support/tcp-proxy.ts'
import { until } from '../support/until.ts'
import { WrittenCluster } from '../support/written-cluster.ts'

const run = promisify(execFile)
const host = '127.0.0.1'

/** A gateway's two ports, as its edges and the other gateway see them. */
interface Ports {
  plain: TcpProxy
  secure: TcpProxy
}

interface StreamFacts {
  epoch: number
  gateway: { id: string }
}

const stack = new AsyncDisposableStack()
const ports: Record<string, Ports> = {}
let cluster: WrittenCluster
let encoder: Encoder
let streamKey: string

/** The lines that the command prints, as they go into a config file. */
async function issue(authority: string, id: string, ...names: string[]) {
  const dir = cluster.file(authority)
  const out = cluster.file(id, 'mutual-tls')
  const { code, stdout } = await nearcast(['ca', 'issue', ...names, '--dir', dir, '--out', out])
  expect(code).toBe(0)
  return (parse(stdout) as { mutualTls: Record<'certFile' | 'keyFile' | 'caFile', string> })
    .mutualTls
}

async function joinGateway(id: string): Promise<void> {
  const [port, tlsPort] = [await freePort(), await freePort()]
  const plain = stack.use(await TcpProxy.start({ host, port }))
  const secure = stack.use(await TcpProxy.start({ host, port: tlsPort }))
  ports[id] = { plain, secure }
  await cluster.join('gateway', id, {
    publicUrl: `http://${host}:${plain.port}`,
    listen: { host, port },
    mutualTls: {
      ...{ host, port: tlsPort, publicUrl: `https://${host}:${secure.port}` },
      ...(await issue('nodes-ca', id, host)),
    },
  })
}

async function joinEdge(id: string, authority = 'nodes-ca'): Promise<void> {
  const mutualTls = await issue(authority, id, id)
  // Which gateways it may believe it has been told rightly.
  mutualTls.caFile = cluster.file('nodes-ca', 'ca.pem')
  await cluster.join('edge', id, {
    tls: { port: 0, localCa: { dir: cluster.file('ca') } },
    http: { port: 0 },
    upstream: { mutualTls },
  })
}

const publishAt = (pop: string) =>
  new Encoder({
    server: cluster.url(pop, 'rtmps'),
    streamKey,
    caFile: cluster.file('ca', 'ca.pem'),
  })

const stream = () => cluster.api<StreamFacts>('GET', '/api/v1/streams/demo')

const media = () => `${cluster.url('pop-1', 'http')}/live/demo`

async function newestSegment(): Promise<number> {
  const answer = await fetch(`${media()}/audio.m3u8`)
  expect(answer.status).toBe(200)
  const numbers = [...(await answer.text()).matchAll(/audio\/(\d+)\.m4s/g)].map(([, it]) => it)
  return Math.max(-1, ...numbers.map(Number))
}

const linesOf = (id: string, message: string) =>
  cluster
    .log(id)
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line) as Record<string, unknown>)
    .filter(({ msg }) => msg === message)

beforeAll(async () => {
  cluster = stack.use(await WrittenCluster.start())
  // The first to issue makes the authority.
  await issue('nodes-ca', 'first', 'first')
  await Promise.all([
    cluster.join('transcoder', 'tc-1', {
      http: { host, port: 0 },
      rtmp: { host, port: 0 },
    }),
    ...['gw-1', 'gw-2'].map(joinGateway),
  ])
  await Promise.all([joinEdge('pop-1'), joinEdge('pop-2', 'other-ca')])
  ;({ streamKey } = await cluster.api<{ streamKey: string }>('POST', '/api/v1/channels', {
    liveId: 'demo',
  }))
  encoder = stack.use(publishAt('pop-1'))
  await until('the stream to be live', async () => (await stream()).gateway.id !== undefined)
})

afterAll(() => stack.disposeAsync())

test('before anybody watches, one connection takes the media and another tells of progress', async () => {
  const { traffic } = ports[(await stream()).gateway.id]!.secure
  const media = await until('media', () => traffic.find(({ up }) => up > 100_000))
  const progress = await until('another connection', () => traffic.find((it) => it !== media))
  let since = { ...progress }
  await until('something told that was not asked for', () => {
    if (progress.up !== since.up) since = { ...progress }
    return progress.down > since.down + 100
  })
  expect(traffic).toHaveLength(2)
})

test('the stream plays at the edge', async () => {
  const index = await until('a playlist', async () => {
    const answer = await fetch(`${media()}/index.m3u8`)
    return answer.ok && (await answer.text())
  })
  const [, name] = /^#EXT-X-STREAM-INF.*\n(.*)$/m.exec(index)!
  const { stderr } = await run('ffmpeg', [
    ...['-v', 'error', '-t', '2', '-i', `${media()}/${name}`, '-f', 'null', '-'],
  ])
  expect(stderr).toBe('')
})

test('both sides tell when their certificates expire', async () => {
  for (const id of ['pop-1', 'gw-1']) {
    const { validToDate } = new X509Certificate(
      readFileSync(cluster.file(id, 'mutual-tls', 'node.pem')),
    )
    const metrics = await (await fetch(`${cluster.url(id, 'admin')}/metrics`)).text()
    const [, seconds] = /^nearcast_mutual_tls_certificate_expires\S* (\d+)$/m.exec(metrics)!
    expect(Number(seconds)).toBe(validToDate.getTime() / 1000)
  }
})

test('an edge with a certificate of another authority is refused, and both sides say so', async () => {
  await using refused = publishAt('pop-2')
  expect(await refused.exited).not.toBe(0)
  expect(refused.output).toContain('no-gateway')
  const { status } = await fetch(`${cluster.url('pop-2', 'http')}/live/demo/index.m3u8`)
  expect(status).toBe(502)
  const lines = linesOf('pop-2', 'gateway cannot be reached')
  for (const id of ['gw-1', 'gw-2']) {
    const detail = expect.stringMatching(/does not believe the certificate/)
    expect(lines).toContainEqual(expect.objectContaining({ gateway: id, detail }))
    expect(linesOf(id, 'connection refused')).toContainEqual(
      expect.objectContaining({
        ...{ reason: 'tls', peer: host },
        detail: 'certificate not believed: UNABLE_TO_VERIFY_LEAF_SIGNATURE',
      }),
    )
  }
})

test('a gateway that stands still is left for the other one by TLS', async () => {
  const before = await stream()
  const pid = cluster.pid(before.gateway.id)
  process.kill(pid, 'SIGSTOP')
  try {
    const other = before.gateway.id === 'gw-1' ? 'gw-2' : 'gw-1'
    await until('the other one', async () => (await stream()).gateway.id === other)
  } finally {
    process.kill(pid, 'SIGCONT')
  }
  expect((await stream()).epoch).toBe(before.epoch)
  expect(encoder.isRunning).toBe(true)
  expect(linesOf('pop-1', 'live')).toHaveLength(1)
})

test('a gateway that dies is left for the other one by TLS, and the encoder keeps its connection', async () => {
  const before = await stream()
  const other = before.gateway.id === 'gw-1' ? 'gw-2' : 'gw-1'
  const segment = await newestSegment()
  process.kill(cluster.pid(before.gateway.id), 'SIGKILL')
  await until('two more segments', async () => (await newestSegment()) >= segment + 2)
  expect(await stream()).toMatchObject({ epoch: before.epoch, gateway: { id: other } })
  expect(Math.max(...ports[other]!.secure.traffic.map(({ up }) => up))).toBeGreaterThan(100_000)
  expect(encoder.isRunning).toBe(true)
  expect(linesOf('pop-1', 'live')).toHaveLength(1)
})

test('edges have sent nothing that was not TLS, and nothing to the plain ports', () => {
  for (const { plain, secure } of Object.values(ports)) {
    for (const { opening } of secure.traffic) {
      // A connection that was not wanted any more has sent nothing. RFC 8446 §5.1: a record of a handshake.
      if (opening.length > 0) expect([...opening.subarray(0, 2)]).toEqual([22, 3])
    }
    for (const { opening } of plain.traffic) {
      if (opening.length > 0) expect(opening.toString('latin1')).toContain('cdn-loop: nearcast')
    }
  }
})
