// What one worker of several may take of what the config grants to the edge. Counts and paces of admission are not shared out:
// those hold for all workers together (admission-tables.ts).
import type { EdgeConfig } from '../../config/schema.ts'

type Shared = Pick<EdgeConfig, 'ingest' | 'cache' | 'admission'>

export function shareOf<Config extends Shared>(config: Config, workers: number): Config {
  if (workers === 1) return config
  const { admission, cache, ingest } = config
  const part = (whole: number) => Math.ceil(whole / workers)
  const ofBits = <Limits extends { bitsPerSecond: number }>(limits: Limits): Limits => ({
    ...limits,
    bitsPerSecond: part(limits.bitsPerSecond),
  })
  return {
    ...config,
    ingest: { ...ingest, maxConnections: part(ingest.maxConnections) },
    cache: {
      ...cache,
      memoryBytes: part(cache.memoryBytes),
      maxWaiters: part(cache.maxWaiters),
    },
    admission: {
      ...admission,
      address: ofBits(admission.address),
      node: ofBits(admission.node),
    },
  }
}
