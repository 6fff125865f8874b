// Process: one closed-loop run of autocannon. Takes its orders as the first argument, sends a LoadResult.
//
// What autocannon does not see by itself is checked here: a body cut short counts as a success there, so every
// answer's ETag, announced length and received bytes are compared with what they must be.
import autocannon from 'autocannon'

export interface LoadOrder {
  url: string
  connections: number
  seconds: number
  etag: string
  bytes: number
}

export interface LoadResult {
  requests: number
  seconds: number
  bodyBytes: number
  latencyMs: { p50: number; p99: number; max: number }
  /** Anything here makes the run worthless. */
  faults: { errors: number; timeouts: number; non2xx: number; wrongHead: number; short: number }
}

if (process.argv[2]) process.send?.(await runLoad(JSON.parse(process.argv[2])))

async function runLoad(order: LoadOrder): Promise<LoadResult> {
  let wrongHead = 0
  let short = 0
  // autocannon rounds to whole milliseconds.
  const latencies: number[] = []
  const finished = Promise.withResolvers<autocannon.Result>()
  const options: autocannon.Options = {
    url: order.url,
    connections: order.connections,
    duration: order.seconds,
    setupClient(client) {
      client.on('headers', (head) => {
        const { headers } = head as unknown as { headers: string[] }
        if (headerOf(headers, 'etag') !== order.etag) wrongHead++
        else if (headerOf(headers, 'content-length') !== String(order.bytes)) wrongHead++
      })
    },
  }
  const instance = autocannon(options, (err, result) => {
    if (err) finished.reject(err)
    else finished.resolve(result)
  })
  instance.on('response', (_client, _status, bytes, ms) => {
    if (bytes < order.bytes) short++
    latencies.push(ms)
  })
  const result = await finished.promise
  latencies.sort((a, b) => a - b)
  const quantile = (share: number) => latencies[Math.floor(share * (latencies.length - 1))] ?? 0
  return {
    requests: result['2xx'],
    seconds: result.duration,
    bodyBytes: result['2xx'] * order.bytes,
    latencyMs: { p50: quantile(0.5), p99: quantile(0.99), max: quantile(1) },
    faults: {
      errors: result.errors,
      timeouts: result.timeouts,
      non2xx: result.non2xx,
      wrongHead,
      short,
    },
  }
}

function headerOf(flat: string[], name: string): string | undefined {
  for (let i = 0; i < flat.length; i += 2) {
    if (flat[i]!.toLowerCase() === name) return flat[i + 1]
  }
  return undefined
}
