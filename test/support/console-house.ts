// A real coordinator behind a real socket that also serves the built console, with a cluster that a test makes up.
import { once } from 'node:events'
import { cp } from 'node:fs/promises'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import type { BandwidthReport, BandwidthTestRequest } from '../../common/contract/bandwidth-test.ts'
import type { RefusalReport } from '../../common/contract/refusal-report.ts'
import { CoordinatorFixture, type FakeNode } from '../coordinator/coordinator-fixture.ts'
import { FakeClock } from './fake-clock.ts'

export class ConsoleHouse implements AsyncDisposable {
  readonly fixture: CoordinatorFixture
  /** Requests are answered so until it is undefined again. */
  outage: number | undefined
  readonly #server: Server

  /** `site` is the folder of the built console. */
  static async start(site: string): Promise<ConsoleHouse> {
    const fixture = await CoordinatorFixture.start({}, new FakeClock(Date.now()))
    await cp(site, join(fixture.dir, 'console'), { recursive: true })
    const house = new ConsoleHouse(fixture)
    house.#server.listen(0, '127.0.0.1')
    await once(house.#server, 'listening')
    return house
  }

  constructor(fixture: CoordinatorFixture) {
    this.fixture = fixture
    this.#server = createServer((request, response) => {
      this.#serve(request, response).catch(() => response.destroy())
    })
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  /** Lets the coordinator's debounced news go out. */
  async news(): Promise<void> {
    await this.fixture.clock.advance(2_500)
  }

  async loginCode(): Promise<string> {
    return (await this.fixture.api<{ code: string }>('POST', '/login-codes')).code
  }

  /** Two POPs, a gateway and three transcoders; a show on "market" with its whole path. */
  async furnish(): Promise<{ streamKey: string }> {
    const { fixture } = this
    const load = {
      cpu: 0.31,
      memoryBytes: 412_000_000,
      streams: 1,
      cost: 27_648_000,
      viewers: 14,
      bitsInPerSecond: 2_510_000,
      bitsOutPerSecond: 38_200_000,
    }
    const rtmps = (id: string) => `rtmps://${id}.example.org/live`
    const popUrls = (id: string) => ({ https: `https://${id}.example.org`, rtmps: rtmps(id) })
    const region = (name: string) => ({ region: name, load })
    const pop = await fixture.node('pop-1', 'edge', {
      ...region('eu-west'),
      urls: popUrls('pop-1'),
    })
    await fixture.node('pop-2', 'edge', {
      ...region('ap-east'),
      urls: popUrls('pop-2'),
      load: { ...load, cpu: 0.91, viewers: 21 },
      viewers: [{ liveId: 'market', current: 21, total: 64 }],
    })
    const gateway = await fixture.node('gw-1', 'gateway', region('eu-central'))
    const transcoders = new Map(
      await Promise.all(
        ['tc-1', 'tc-2', 'tc-3'].map(
          async (id) => [id, await fixture.node(id, 'transcoder', region('eu-central'))] as const,
        ),
      ),
    )
    const streamKey = await fixture.channel('market', { title: 'Harbour market' })
    await fixture.channel('lecture', { name: 'Evening lecture', record: false })
    const grant = await gateway.granted(streamKey, 'pop-1')
    const rendition = (name: string, width: number, height: number, bitsPerSecond: number) => ({
      ...{ name, width, height, bitsPerSecond, framesPerSecond: 30 },
      ...{ codecs: 'avc1.64001f', isSource: height === 720 },
    })
    await transcoders.get(grant.transcoder.id)!.renew('market', grant.epoch, {
      cost: 27_648_000,
      video: {
        codec: 'avc1.64001f',
        width: 1280,
        height: 720,
        framesPerSecond: 30,
        bitsPerSecond: 2_480_000,
        keyframeIntervalSeconds: 8.3,
      },
      audio: { codec: 'mp4a.40.2', sampleRate: 48_000, channels: 2, bitsPerSecond: 128_000 },
      renditions: [
        rendition('720p', 1280, 720, 2_480_000),
        rendition('480p', 854, 480, 1_200_000),
        rendition('360p', 640, 360, 700_000),
      ],
      findings: [
        {
          code: 'keyframes-far',
          value: 8.3,
          isWarning: true,
          sentence: 'Keyframes are 8.3 s apart.',
        },
        { code: 'rate-control', value: 'CBR', isWarning: false, sentence: 'The encoder says CBR.' },
      ],
    })
    await this.#turnAway(streamKey, pop, gateway)
    await this.news()
    return { streamKey }
  }

  /** Publishers of a channel that did not go live: three were refused, one only measured its line. */
  async #turnAway(streamKey: string, pop: FakeNode, gateway: FakeNode): Promise<void> {
    const { keyDigest, connection, clientAddress } = gateway.publishRequest(streamKey)
    const message = 'The video codec is unknown. Set the video encoder to H.264.'
    await pop.call('POST', '/refusals', {
      refusals: [{ keyDigest, code: 'codec-unsupported', message, count: 3, ageMs: 0 }],
    } satisfies RefusalReport)
    await gateway.call('POST', '/bandwidth-tests', {
      ...{ keyDigest, connection, clientAddress, gateway: gateway.id, pop: pop.id },
    } satisfies BandwidthTestRequest)
    const report: BandwidthReport = {
      end: 'time-limit',
      measure: {
        durationMs: 60_000,
        bytes: 18_600_000,
        medianBitsPerSecond: 2_480_000,
        lowestBitsPerSecond: 1_310_000,
        stalls: 2,
        longestStallMs: 1_300,
      },
    }
    for (const node of [pop, gateway])
      await node.call('PUT', `/bandwidth-tests/${connection}`, report)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections()
    await new Promise((resolve) => this.#server.close(resolve))
    await this.fixture[Symbol.asyncDispose]()
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (this.outage !== undefined) {
      response.writeHead(this.outage).end()
      return
    }
    const { method = 'GET', url = '/', headers } = request
    const pieces: Buffer[] = []
    for await (const piece of request) pieces.push(piece as Buffer)
    const body = Buffer.concat(pieces)
    const gone = new AbortController()
    response.on('close', () => gone.abort())
    const answer = await this.fixture.raw(url, {
      method,
      headers: Object.entries(headers).flatMap(([name, value]) =>
        typeof value === 'string' ? [[name, value] as [string, string]] : [],
      ),
      ...(body.length > 0 && { body }),
      signal: gone.signal,
    })
    response.writeHead(answer.status, Object.fromEntries(answer.headers))
    if (!answer.body) {
      response.end()
      return
    }
    const source = Readable.fromWeb(answer.body as never)
    response.on('close', () => source.destroy())
    for await (const piece of source) response.write(piece)
    response.end()
  }
}
