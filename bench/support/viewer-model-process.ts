// Process: viewers of a live stream who ask by the clock (viewer-schedule.ts), whatever the server does. Each has up to
// six connections, as browsers do; a request that finds none free waits, and its time counts from when it was due.
//
// Takes its orders as the first argument; sends a ViewerModelReport.
import { RawConnection, type RawTarget } from './raw-connection.ts'
import {
  type DueRequest,
  scheduleOf,
  timelineOf,
  type ViewerKind,
  viewerKinds,
} from './viewer-schedule.ts'

export interface ViewerModelOrder {
  target: RawTarget
  liveId: string
  rendition: string
  viewers: Record<ViewerKind, number>
  seconds: number
}

export interface ViewerModelReport {
  /** By kind and what was asked for: from when it was due, or could be answered, to its last byte; ms. */
  latenciesMs: Record<string, number[]>
  /** What was not answered with a whole 200, by what it was. */
  failures: Record<string, number>
  /** How much later than due a request went out: of the generator, not the server. */
  lateMs: number[]
  bodyBytes: number
}

const maxConnections = 6
const tickMs = 1
/** All are connected before the first is due. */
const leadMs = 500
/** After the last was due. */
const patienceMs = 5_000

const order: ViewerModelOrder = JSON.parse(process.argv[2]!)
const base = `/live/${order.liveId}/`
const report: ViewerModelReport = { latenciesMs: {}, failures: {}, lateMs: [], bodyBytes: 0 }
let open = 0

class Viewer {
  readonly #kind: ViewerKind
  readonly #connections: RawConnection[] = []
  readonly #waiting: DueRequest[] = []

  constructor(kind: ViewerKind) {
    this.#kind = kind
    this.#connections.push(new RawConnection(order.target))
  }

  send(request: DueRequest): void {
    open++
    this.#waiting.push(request)
    this.#next()
  }

  close(): void {
    for (const connection of this.#connections) connection.close()
  }

  #next(): void {
    const connection = this.#free()
    const request = connection && this.#waiting.shift()
    if (request) void this.#ask(connection, request)
  }

  #free(): RawConnection | undefined {
    for (const [index, connection] of this.#connections.entries()) {
      if (connection.isIdle) return connection
      if (connection.isClosed) this.#connections.splice(index, 1)
    }
    if (this.#connections.length >= maxConnections) return undefined
    const fresh = new RawConnection(order.target)
    this.#connections.push(fresh)
    return fresh
  }

  async #ask(connection: RawConnection, request: DueRequest): Promise<void> {
    const { what, path, dueMs, availableMs } = request
    const name = `${this.#kind} ${what}`
    report.lateMs.push(wallMs() - dueMs)
    try {
      const { status, endAtMs, bodyBytes } = await connection.ask(base + path)
      report.bodyBytes += bodyBytes
      const ms = performance.timeOrigin + endAtMs - Math.max(dueMs, availableMs)
      if (status === 200) {
        report.latenciesMs[name] ??= []
        report.latenciesMs[name].push(ms)
      } else fail(`${name}: ${status}`)
    } catch (err) {
      fail(`${name}: ${(err as Error).message}`)
    }
    open--
    if (this.#waiting.length > 0) this.#next()
  }
}

function fail(text: string): void {
  report.failures[text] = (report.failures[text] ?? 0) + 1
}

function wallMs(): number {
  return performance.timeOrigin + performance.now()
}

async function watch(): Promise<void> {
  const first = new RawConnection(order.target)
  const path = `${base}${order.rendition}.m3u8`
  const timeline = timelineOf((await first.ask(path, { keepsBody: true })).body.toString())
  first.close()
  const fromMs = wallMs() + leadMs
  const untilMs = fromMs + order.seconds * 1000
  const { rendition } = order
  const due = viewerKinds
    .flatMap((kind) =>
      Array.from({ length: order.viewers[kind] }, (_, index) => {
        const phase = index / order.viewers[kind]
        const viewer = new Viewer(kind)
        viewers.push(viewer)
        const options = { timeline, rendition, fromMs, untilMs, phase }
        return scheduleOf(kind, options).map((request) => ({ viewer, request }))
      }),
    )
    .flat()
    .toSorted((a, b) => a.request.dueMs - b.request.dueMs)
  let next = 0
  const { promise, resolve } = Promise.withResolvers<void>()
  const ticking = setInterval(() => {
    const nowMs = wallMs()
    for (; next < due.length && due[next]!.request.dueMs <= nowMs; next++) {
      const { viewer, request } = due[next]!
      viewer.send(request)
    }
    const isOver = next === due.length && open === 0
    if (isOver || nowMs > untilMs + patienceMs) resolve()
  }, tickMs)
  await promise
  clearInterval(ticking)
  if (open > 0) report.failures['no answer in time'] = open
}

const viewers: Viewer[] = []
await watch()
process.send?.(report, () => process.exit())
