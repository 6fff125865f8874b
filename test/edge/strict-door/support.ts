// The front door and the delivery of an edge, put together as an edge does, before an origin that keeps every byte it is
// asked with; beside each case one viewer follows an object that grows, whose bytes must not change for anything.
import { systemClock } from '../../../common/clock.ts'
import { Metrics } from '../../../common/metrics.ts'
import { DeliveryHandler, type DeliveryOptions } from '../../../edge/delivery/delivery-handler.ts'
import { StaticPages } from '../../../edge/delivery/static-pages.ts'
import { parseAnswers, RawClient, type RawDoor } from '../../support/raw-client.ts'
import { echoPath, pathOf, RawOrigin } from '../../support/raw-origin.ts'
import { until } from '../../support/until.ts'
import { captureLog, type DoorOptions, openDoor, type TestDoor } from '../front/support.ts'

export interface StrictEdgeOptions extends Pick<DoorOptions, 'limits' | 'config' | 'admission'> {
  delivery?: Partial<DeliveryOptions>
}

export class StrictEdge implements AsyncDisposable {
  readonly origin: RawOrigin
  readonly delivery: DeliveryHandler
  readonly door: TestDoor
  readonly log: ReturnType<typeof captureLog>
  readonly #metrics: Metrics

  private constructor(
    origin: RawOrigin,
    delivery: DeliveryHandler,
    door: TestDoor,
    log: ReturnType<typeof captureLog>,
    metrics: Metrics,
  ) {
    this.#metrics = metrics
    this.origin = origin
    this.delivery = delivery
    this.door = door
    this.log = log
  }

  static async start({ delivery: given, ...options }: StrictEdgeOptions = {}): Promise<StrictEdge> {
    const origin = await RawOrigin.start()
    const log = captureLog()
    const metrics = new Metrics('edge', 'pop-1', '0')
    const delivery = new DeliveryHandler({
      name: 'pop-1',
      cache: { memoryBytes: 32_000_000, maxObjectBytes: 8_000_000 },
      upstream: { connectTimeoutMs: 1_000, waitTargetDurations: 3 },
      pickGateways: () => [origin.url],
      authorize: async () => 'node-token',
      isReady: () => true,
      pages: new StaticPages(new Map()),
      clock: systemClock,
      log: log.log,
      metrics,
      ...(options.limits && { limits: options.limits }),
      ...given,
    })
    const door = await openDoor({
      ...options,
      handlers: { onRequest: (req, res) => delivery.handle(req, res) },
      road: delivery.road,
    })
    return new StrictEdge(origin, delivery, door, log, metrics)
  }

  get plain(): RawDoor {
    return { port: this.door.httpPort }
  }

  get tls(): RawDoor {
    return { port: this.door.port, ca: this.door.ca }
  }

  /** Forgets what is stored and what was asked. */
  reset(): void {
    this.delivery.purge('/')
    this.origin.requests.length = 0
  }

  /** Resolves when upstream owes nothing any more, but what a bystander follows. */
  settled(): Promise<unknown> {
    return until('the fills', async () => {
      const all = await this.#metrics.registry.getMetricsAsJSON()
      const fills = all.find(({ name }) => name === 'nearcast_cache_fills')?.values[0]?.value
      return fills !== undefined && fills <= 1
    })
  }

  /** Every line so far, of door and delivery. */
  get logText(): string {
    return JSON.stringify([...this.log.lines, ...this.door.logged.lines])
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.delivery[Symbol.asyncDispose]()
    await this.door[Symbol.asyncDispose]()
    await this.origin[Symbol.asyncDispose]()
  }
}

const bystanderPath = '/live/bystander/abcdef12-1/720p/1.m4s'

/** A viewer in the middle of an object while everything else happens. */
export class Bystander implements Disposable {
  readonly #client: RawClient
  readonly #more: (bytes: string) => void
  #sent = ''

  private constructor(client: RawClient, more: (bytes: string) => void) {
    this.#client = client
    this.#more = more
  }

  static async start(edge: StrictEdge, door: RawDoor): Promise<Bystander> {
    const { promise, resolve } = Promise.withResolvers<(bytes: string) => void>()
    const { respond } = edge.origin
    edge.origin.respond = (request, socket) => {
      if (pathOf(request) !== bystanderPath) return echoPath(request, socket)
      socket.write('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n')
      resolve((bytes) =>
        socket.write(bytes === '' ? '0\r\n\r\n' : `${bytes.length.toString(16)}\r\n${bytes}\r\n`),
      )
    }
    const client = await RawClient.dial(door)
    await client.send(Buffer.from(`GET ${bystanderPath} HTTP/1.0\r\n\r\n`))
    const more = await promise
    edge.origin.respond = respond
    return new Bystander(client, more)
  }

  /** Sends it some more; resolves when that has arrived. */
  async feed(): Promise<void> {
    const bytes = `${this.#sent.length} `.repeat(1_000)
    this.#sent += bytes
    this.#more(bytes)
    await this.#client.until(() => this.#body.length >= this.#sent.length)
  }

  /** What was sent and what has arrived when the object is whole. */
  async finish(): Promise<{ sent: string; arrived: string }> {
    this.#more('')
    await this.#client.toEnd()
    return { sent: this.#sent, arrived: this.#body }
  }

  get #body(): string {
    const { received } = this.#client
    const start = received.indexOf('\r\n\r\n')
    return start < 0 ? '' : received.slice(start + 4)
  }

  [Symbol.dispose](): void {
    this.#client[Symbol.dispose]()
  }
}

export interface Outcome {
  statuses: number[]
  bodies: string[]
  isClosed: boolean
  received: string
}

/** What came back, once the connection has ended or that many answers are whole. */
export async function outcomeOf(
  client: RawClient,
  answers: number,
  isHead: (index: number) => boolean,
): Promise<Outcome> {
  const parsed = () => {
    try {
      return parseAnswers(client.received, isHead)
    } catch (err) {
      if (client.isClosed) throw err
      return []
    }
  }
  await client.until(() => parsed().length >= answers)
  const all = parsed()
  return {
    statuses: all.map(({ status }) => status),
    bodies: all.map(({ body }) => body),
    isClosed: client.isClosed,
    received: client.received,
  }
}
