// The scripted live origin as a scenario sees it: where it listens, and what it has been asked for.
import { once } from 'node:events'
import { loadCore } from './bench-server.ts'
import type { LiveOriginOrder, LiveOriginReport } from './live-origin-process.ts'
import { startNode, stop } from './processes.ts'

export interface LiveOrigin extends AsyncDisposable {
  port: number
  /** Since the last call, of each path and query, how often. */
  asked(): Promise<Map<string, number>>
}

export async function startLiveOrigin(order: LiveOriginOrder): Promise<LiveOrigin> {
  const file = new URL('./live-origin-process.ts', import.meta.url)
  const { child, message: port } = await startNode<number>(loadCore, file, [JSON.stringify(order)])
  return {
    port,
    async asked() {
      const answered = once(child, 'message')
      child.send('report')
      const [report] = (await answered) as [LiveOriginReport]
      return new Map(Object.entries(report.asked))
    },
    [Symbol.asyncDispose]: () => stop(child),
  }
}

/** Requests upstream for each object that never changes: 1 is one fill for everybody. */
export function fillsPerObject(asked: ReadonlyMap<string, number>): {
  objects: number
  requests: number
} {
  const media = [...asked].filter(([url]) => /\.(m4s|mp4)$/.test(url))
  return { objects: media.length, requests: media.reduce((sum, [, count]) => sum + count, 0) }
}
