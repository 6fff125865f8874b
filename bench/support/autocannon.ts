// autocannon as a closed-loop load in a process of its own, where wrk is not installed.
import type { LoadOrder, LoadResult } from './load-process.ts'
import type { BenchObject } from './objects.ts'
import { startNode, stop } from './processes.ts'
import type { LoadFigures, WrkOptions } from './wrk.ts'

export async function runAutocannon({
  core,
  object,
  ...load
}: WrkOptions & { object: BenchObject }): Promise<LoadFigures> {
  const order: LoadOrder = { ...load, etag: object.etag, bytes: object.bytes }
  const file = new URL('./load-process.ts', import.meta.url)
  const { child, message: result } = await startNode<LoadResult>(core, file, [
    JSON.stringify(order),
  ])
  await stop(child)
  return {
    requests: result.requests,
    seconds: result.seconds,
    readBytes: result.bodyBytes,
    p50Ms: result.latencyMs.p50,
    p99Ms: result.latencyMs.p99,
    faults: Object.entries(result.faults)
      .filter(([, count]) => count > 0)
      .map(([name, count]) => `${count} ${name}`),
  }
}
