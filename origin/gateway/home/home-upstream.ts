// Answers the cache from the broadcasts whose home is here, as a transcoder would over HTTP: at once, when it comes,
// or part by part. Pieces are the parts themselves, never copies.
import type { Upstream, UpstreamRequest, UpstreamSink } from '../../../common/cache/upstream.ts'
import type { Clock } from '../../../common/clock.ts'
import { messageOf } from '../../../common/errors.ts'
import { LiveAnswers } from '../../../common/live/live-answers.ts'
import type { LiveBroadcast } from '../../../common/live/live-broadcast.ts'
import {
  type Answer,
  refused,
  type SegmentName,
  segmentUnknown,
} from '../../../common/live/playback-answer.ts'
import { parseDirectives, parsePlaybackPath } from '../../../common/live/playback-path.ts'

export interface HomeUpstreamOptions {
  home: (liveId: string) => LiveBroadcast | undefined
  clock: Clock
}

/** Among the origins of a request: it is answered here. */
export const homeOrigin = 'home:'
/** Longest wait for the next part of an open segment. */
const partWaitMs = 12_000

export class HomeUpstream implements Upstream {
  readonly #options: HomeUpstreamOptions
  readonly #answers: LiveAnswers

  constructor(options: HomeUpstreamOptions) {
    this.#options = options
    this.#answers = new LiveAnswers(options.clock)
  }

  fetch({ path }: Pick<UpstreamRequest, 'path'>, sink: UpstreamSink): { cancel(): void } {
    const leaving = new AbortController()
    this.#answer(path, sink, leaving.signal).catch((err) => {
      if (!leaving.signal.aborted) sink.fail('broken', messageOf(err))
    })
    return { cancel: () => leaving.abort() }
  }

  /** Nobody waits for it here any more. */
  letGo(broadcast: LiveBroadcast): void {
    this.#answers.waits(broadcast).letGo()
  }

  async #answer(target: string, sink: UpstreamSink, signal: AbortSignal): Promise<void> {
    const path = parsePlaybackPath(target)
    const broadcast =
      path && path.kind !== 'time' && path.from.kind === 'live'
        ? this.#options.home(path.from.liveId)
        : undefined
    if (!path || path.kind === 'time' || !broadcast) {
      sendAll(sink, offline)
      return
    }
    const isPlaylist = path.kind === 'playlist' || path.kind === 'iframes'
    const directives = parseDirectives(isPlaylist ? target : '')
    if ('problem' in directives) {
      sendAll(sink, refused(400, 'directive-malformed', directives.problem))
      return
    }
    const live = { broadcast, file: () => undefined }
    const answer = await this.#answers.find(live, path, directives, signal)
    if (signal.aborted) return
    if (!answer) sendAll(sink, moved)
    else if (Buffer.isBuffer(answer.body)) sendAll(sink, { ...answer, body: answer.body })
    else if ('segment' in answer.body) {
      await this.#sendSegment(sink, answer, broadcast, answer.body.segment, signal)
    } else sendAll(sink, segmentUnknown)
  }

  async #sendSegment(
    sink: UpstreamSink,
    { status, type, cacheControl }: Answer,
    broadcast: LiveBroadcast,
    { take, rendition, number }: SegmentName,
    signal: AbortSignal,
  ): Promise<void> {
    const segment = broadcast.segment(take, rendition, number)!
    sink.head(status, {
      'content-type': type,
      'cache-control': cacheControl,
      ...(segment.isOpen
        ? { 'transfer-encoding': 'chunked' }
        : { 'content-length': `${segment.sizeBytes}` }),
    })
    let next = 0
    while (!signal.aborted) {
      const part = segment.parts[next]
      if (part) {
        next++
        if (!part.isGap) sink.data(part.bytes)
        continue
      }
      if (!segment.isOpen) {
        sink.end()
        return
      }
      const hasMore = () => segment.parts.length > next || !segment.isOpen || undefined
      const waits = this.#answers.waits(broadcast)
      const end = await waits.until(hasMore, { ms: partWaitMs, signal })
      if (signal.aborted) return
      if (end === 'late' || end === 'left') {
        sink.fail('broken', end)
        return
      }
    }
  }
}

function sendAll(sink: UpstreamSink, { status, type, cacheControl, body }: Answer<Buffer>): void {
  sink.head(status, {
    'content-type': type,
    'cache-control': cacheControl,
    'content-length': `${body.length}`,
  })
  sink.data(body)
  sink.end()
}

const offline = refused(404, 'offline', 'This stream is not live here.')
const moved = refused(503, 'moved', 'This stream is served from elsewhere now.')
