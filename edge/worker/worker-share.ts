// What one worker of several may take of what the config grants to the edge. Limits of admission are not shared out: those hold
// for all workers together (admission-tables.ts).
import type { EdgeConfig } from '../../config/schema.ts'

type Shared = Pick<EdgeConfig, 'ingest' | 'cache'>

export function shareOf<Config extends Shared>(config: Config, workers: number): Config {
  if (workers === 1) return config
  const { cache, ingest } = config
  const part = (whole: number) => Math.ceil(whole / workers)
  return {
    ...config,
    ingest: { ...ingest, maxConnections: part(ingest.maxConnections) },
    cache: {
      ...cache,
      memoryBytes: part(cache.memoryBytes),
      maxWaiters: part(cache.maxWaiters),
    },
  }
}
