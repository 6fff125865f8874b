// Writes a segment that is in memory to a response, part by part as they come: one write per finished part, so
// that no reader ever holds half a part that the rest of is not there yet.
//
// A reader is a name and an index into the parts. One that is slow holds one part in its connection and nothing
// else: when the segment leaves memory meanwhile, the rest is read from disk. The response ends cleanly only
// with the whole segment; otherwise its connection is destroyed.
import { createReadStream } from 'node:fs'
import type { ServerResponse } from 'node:http'
import { pipeline } from 'node:stream/promises'
import type { ChangeWaits } from './change-waits.ts'
import type { LiveStream } from './live-answers.ts'
import type { SegmentName } from './playback-answer.ts'

export interface SegmentStreamOptions {
  live: LiveStream
  waits: ChangeWaits
  segment: SegmentName
  /** Longest wait for the next part. */
  waitMs: number
  signal: AbortSignal
}

/** Answers how many bytes were written. The head of the response has been. */
export async function streamSegment(
  response: ServerResponse,
  options: SegmentStreamOptions,
): Promise<number> {
  const { live, waits, waitMs, signal } = options
  const { broadcast } = live
  const { take, rendition, number } = options.segment
  const find = () => broadcast.segment(take, rendition, number)
  let next = 0
  let sent = 0
  while (!signal.aborted) {
    const segment = find()
    if (!segment) {
      const path = live.file(take, rendition, `${number}.m4s`)
      if (path === undefined) break
      const rest = createReadStream(path, { start: sent })
      await pipeline(rest, response)
      return sent + rest.bytesRead
    }
    const part = segment.parts[next]
    if (part) {
      next++
      if (part.isGap) continue
      sent += part.bytes.length
      if (!response.write(part.bytes)) await drained(response)
      continue
    }
    if (!segment.isOpen) {
      response.end()
      return sent
    }
    // A take that has ended may still get the tail of this rendition.
    if (broadcast.isEnded) break
    const hasMore = () => {
      const now = find()
      return !now || now.parts.length > next || !now.isOpen || broadcast.isEnded || undefined
    }
    const end = await waits.until(hasMore, { ms: waitMs, signal })
    if (end === 'late' || end === 'left') break
  }
  response.destroy()
  return sent
}

function drained(response: ServerResponse): Promise<void> {
  if (response.destroyed) return Promise.resolve()
  return new Promise((resolve) => {
    const done = () => {
      response.off('drain', done)
      response.off('close', done)
      resolve()
    }
    response.on('drain', done)
    response.on('close', done)
  })
}
