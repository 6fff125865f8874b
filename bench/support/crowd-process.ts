// Process: a flash crowd. Viewers arrive evenly within a time, each connects and fetches what a player needs to start, and
// stays connected. Beside them one asks the origin itself, again and again, for what the origin takes.
//
// Takes its orders as the first argument; sends a CrowdReport.
import { readLivePlaylist } from '../../test/support/hls-text.ts'
import { RawConnection, type RawTarget } from './raw-connection.ts'

export interface CrowdOrder {
  target: RawTarget
  originPort: number
  liveId: string
  rendition: string
  viewers: number
  overSeconds: number
}

export interface CrowdReport {
  /** First byte of requests that were sent before anybody had one of that object: all wait for the same fill. */
  missMs: number[]
  /** First byte of all others. */
  hitMs: number[]
  /** First byte of the origin itself, asked for media that it has. */
  originMs: number[]
  /** From arriving to having all that a player needs. */
  startMs: number[]
  failures: Record<string, number>
}

interface FirstByte {
  path: string
  sentAtMs: number
  firstByteAtMs: number
}

const wholeSegments = 2
const probeEveryMs = 20
const patienceMs = 20_000

const order: CrowdOrder = JSON.parse(process.argv[2]!)
const base = `/live/${order.liveId}/`
const firstBytes: FirstByte[] = []
const report: CrowdReport = { missMs: [], hitMs: [], originMs: [], startMs: [], failures: {} }
const connections: RawConnection[] = []

async function view(): Promise<void> {
  const arrivedAtMs = performance.now()
  const connection = new RawConnection(order.target)
  connections.push(connection)
  const get = async (name: string) => {
    const path = base + name
    const answer = await connection.ask(path, { keepsBody: name.endsWith('.m3u8') })
    const { status, sentAtMs, firstByteAtMs, body } = answer
    if (status !== 200) throw new Error(`${status}`)
    firstBytes.push({ path, sentAtMs, firstByteAtMs })
    return body.toString('latin1')
  }
  try {
    await get('index.m3u8')
    const { segments } = readLivePlaylist(await get(`${order.rendition}.m3u8`))
    const newest = segments.filter(({ uri }) => uri !== undefined).slice(-wholeSegments)
    await get(newest[0]!.mapUri!)
    for (const { uri } of newest) await get(uri!)
    report.startMs.push(performance.now() - arrivedAtMs)
  } catch (err) {
    const text = (err as Error).message
    report.failures[text] = (report.failures[text] ?? 0) + 1
  }
}

/** Of a live id of its own, so that counts of the crowd's stay theirs. */
async function probe(signal: AbortSignal): Promise<void> {
  const connection = new RawConnection({ port: order.originPort })
  const path = `/live/probe/${order.rendition}.m3u8`
  while (!signal.aborted) {
    const { sentAtMs, firstByteAtMs } = await connection.ask(path)
    report.originMs.push(firstByteAtMs - sentAtMs)
    await new Promise((resolve) => setTimeout(resolve, probeEveryMs))
  }
  connection.close()
}

/** By when each object's first byte first came to anybody. */
function divide(): void {
  const firstAtMs = new Map<string, number>()
  for (const { path, firstByteAtMs } of firstBytes) {
    firstAtMs.set(path, Math.min(firstByteAtMs, firstAtMs.get(path) ?? Infinity))
  }
  for (const { path, sentAtMs, firstByteAtMs } of firstBytes) {
    const list = sentAtMs < firstAtMs.get(path)! ? report.missMs : report.hitMs
    list.push(firstByteAtMs - sentAtMs)
  }
}

const over = new AbortController()
const probing = probe(over.signal)
const startedAtMs = performance.now()
const views: Promise<void>[] = []
await new Promise<void>((resolve) => {
  const arriving = setInterval(() => {
    const share = (performance.now() - startedAtMs) / (order.overSeconds * 1000)
    const due = Math.min(order.viewers, Math.ceil(share * order.viewers))
    while (views.length < due) views.push(view())
    if (views.length < order.viewers) return
    clearInterval(arriving)
    resolve()
  }, 1)
})
const patience = setTimeout(() => {
  for (const connection of connections) connection.close()
}, patienceMs)
await Promise.all(views)
clearTimeout(patience)
over.abort()
await probing
divide()
process.send?.(report, () => process.exit())
