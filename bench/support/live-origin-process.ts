// Process: the origin of the live scenarios. A broadcast whose parts come on time, answered as a transcoder answers:
// blocking reloads and announced parts are held, open segments grow. The same broadcast is found under every live id.
//
// Takes its orders as the first argument; sends its port, and at any message a LiveOriginReport, and counts anew.
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as passing } from 'node:timers/promises'
import { systemClock } from '../../common/clock.ts'
import { LiveAnswers, type LiveStream } from '../../common/live/live-answers.ts'
import { type Answer, segmentUnknown } from '../../common/live/playback-answer.ts'
import { parseDirectives, parsePlaybackPath } from '../../common/live/playback-path.ts'
import { streamSegment } from '../../common/live/segment-stream.ts'
import { ScriptedBroadcast } from '../../test/support/scripted-broadcast.ts'
import { videoRendition } from '../../test/support/segment-logs.ts'

export interface LiveOriginOrder {
  partSeconds: number
  segmentSeconds: number
  partBytes: number
  /** From a request to its answer, at least: what a far origin takes. */
  thinkMs: number
}

export interface LiveOriginReport {
  /** Of each path and query that was asked for, how often. */
  asked: Record<string, number>
}

const order: LiveOriginOrder = JSON.parse(process.argv[2]!)
/** Longest wait for the next part of an open segment. */
const partWaitMs = 12_000
const windowSegments = 6
const partsEach = Math.round(order.segmentSeconds / order.partSeconds)
const bytes = Buffer.alloc(order.partBytes, '0123456789abcdef')

// What has been listed before this began ends now, so that the clock and the media agree.
const beginsAtMs = Date.now()
const broadcast = new ScriptedBroadcast({
  facts: { startedAtMs: beginsAtMs - windowSegments * order.segmentSeconds * 1000 },
  settings: {
    partTargetSeconds: order.partSeconds,
    segmentSeconds: order.segmentSeconds,
    targetDurationSeconds: Math.max(2, Math.ceil(order.segmentSeconds)),
    windowSegments,
  },
})
const { name: rendition } = videoRendition(720)
broadcast.beginTake({ renditions: [videoRendition(720)] })
for (let part = 0; part < windowSegments * partsEach; part++) addPart()
const live: LiveStream = { broadcast, file: () => undefined }
const answers = new LiveAnswers(systemClock)
let asked: LiveOriginReport['asked'] = {}
let parts = 0

function addPart(): void {
  broadcast.change(() => {
    broadcast.addPart(rendition, { bytes })
    const open = broadcast.playlist(rendition)!.segments.at(-1)!
    if (open.parts.length === partsEach) broadcast.closeSegment(rendition)
  })
}

/** By the clock and not by intervals, which drift. */
function schedule(): void {
  const dueAtMs = beginsAtMs + (parts + 1) * order.partSeconds * 1000
  setTimeout(
    () => {
      parts++
      addPart()
      schedule()
    },
    Math.max(0, dueAtMs - Date.now()),
  )
}

async function answer(req: IncomingMessage, res: ServerResponse): Promise<void> {
  const url = req.url ?? ''
  asked[url] = (asked[url] ?? 0) + 1
  const leaving = new AbortController()
  res.once('close', () => leaving.abort())
  const path = parsePlaybackPath(url)
  const directives = parseDirectives(path?.kind === 'playlist' ? url : '')
  if (!path || path.kind === 'time' || 'problem' in directives) {
    await send(res, segmentUnknown)
    return
  }
  if (order.thinkMs > 0) await passing(order.thinkMs)
  const found = await answers.find(live, path, directives, leaving.signal)
  if (found && !res.destroyed) await send(res, found, leaving.signal)
}

async function send(res: ServerResponse, found: Answer, signal?: AbortSignal): Promise<void> {
  const { body, status, type, cacheControl } = found
  const head = { 'content-type': type, 'cache-control': cacheControl }
  if (Buffer.isBuffer(body)) {
    res.writeHead(status, { ...head, 'content-length': body.length }).end(body)
  } else if ('segment' in body && signal) {
    const { segment } = body
    const now = broadcast.segment(segment.take, segment.rendition, segment.number)
    const isWhole = now !== undefined && !now.isOpen
    res.writeHead(status, { ...head, ...(isWhole && { 'content-length': now.sizeBytes }) })
    const waits = answers.waits(broadcast)
    await streamSegment(res, { live, waits, segment, waitMs: partWaitMs, signal })
  } else res.destroy()
}

const server = createServer({ noDelay: true, keepAliveTimeout: 60_000 }, (req, res) => {
  answer(req, res).catch(() => res.destroy())
})
server.listen(0, '127.0.0.1', 4_096, () => process.send?.((server.address() as AddressInfo).port))
schedule()
process.on('message', () => {
  process.send?.({ asked } satisfies LiveOriginReport)
  asked = {}
})
process.once('disconnect', () => process.exit())
