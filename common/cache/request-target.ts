// What a request asks a cache for, or everything that is wrong with it before the cache is asked.
import type { IncomingMessage } from 'node:http'
import type { Http2ServerRequest } from 'node:http2'
import { type ObjectTarget, targetOf } from './cache-key.ts'
import { errorAnswer, type LocalAnswer } from './error-answer.ts'
import { classify, isMalformed } from './media-path.ts'

export interface Refused {
  refused: LocalAnswer
  headers?: string[]
}

export function requestTarget(req: IncomingMessage | Http2ServerRequest): ObjectTarget | Refused {
  const { method, url = '', headers } = req
  if (method !== 'GET' && method !== 'HEAD') {
    const refused = errorAnswer(405, 'method-not-allowed', 'Use GET, HEAD or OPTIONS.')
    return { refused, headers: ['allow', 'GET, HEAD, OPTIONS'] }
  }
  // A body could be taken for the next request by somebody on the way.
  if (headers['transfer-encoding'] !== undefined || (headers['content-length'] ?? '0') !== '0') {
    const refused = errorAnswer(400, 'body-not-allowed', 'This request may not have a body.')
    return { refused, headers: ['connection', 'close'] }
  }
  return readTarget(url)
}

/** `url` is path and query as sent. */
export function readTarget(url: string): ObjectTarget | Refused {
  const mark = url.indexOf('?')
  const path = mark < 0 ? url : url.slice(0, mark)
  const media = classify(path)
  if (!media) {
    return {
      refused: isMalformed(path)
        ? errorAnswer(400, 'path-malformed', 'No URL of this server is written like this.')
        : errorAnswer(404, 'path-unknown', 'There is nothing under this path.'),
    }
  }
  const target = targetOf(media, path, mark < 0 ? '' : url.slice(mark + 1))
  if ('problem' in target) {
    return { refused: errorAnswer(400, 'directive-malformed', target.problem) }
  }
  return target
}
