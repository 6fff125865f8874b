// The bandwidth tests at one node: each measures what its publisher sends until it leaves or has sent for long
// enough, tells the coordinator, and lets nothing go on from here.
import type { Duplex } from 'node:stream'
import type { Clock } from '../clock.ts'
import type { BandwidthMeasure, BandwidthReport } from '../contract/bandwidth-test.ts'
import { type Refusal, refusal } from '../contract/refusal.ts'
import { BandwidthMeter } from './bandwidth-meter.ts'
import { RefusalMemory } from './refusal-memory.ts'
import type { HopRequest } from './relay-host.ts'

export interface BandwidthTestsOptions {
  clock: Clock
  /** How long the result is the answer to the next try: encoders that are let go come back by themselves. */
  refusalMemoryMs: number
  /** Must not reject. */
  report(id: string, report: BandwidthReport): Promise<unknown>
}

/** True for a publish that must never go live, whatever value the parameter has. */
export function isBandwidthTest(query: string): boolean {
  return new URLSearchParams(query).has('bandwidthtest')
}

export class BandwidthTests {
  readonly #options: BandwidthTestsOptions
  /** What each key's test came to. */
  readonly results: RefusalMemory

  constructor(options: BandwidthTestsOptions) {
    this.#options = options
    this.results = new RefusalMemory(options.clock, options.refusalMemoryMs, isResult)
  }

  /** The result of the test that has just ended with this key. */
  recall(keyDigest: string): Refusal | undefined {
    return this.results.recall(keyDigest)
  }

  /** Measures what comes by this socket from now on; answers what ends the test before its time. */
  run(
    id: string,
    socket: Duplex,
    { keyDigest, signal, refuse, annotate }: HopRequest,
    limitMs: number,
  ): { pathLost(): void } {
    const { clock, report } = this.#options
    const meter = new BandwidthMeter(clock)
    const log = annotate({ bandwidthTest: true })
    const count = (bytes: Buffer) => meter.count(bytes.length)
    let isOver = false
    const end = (why: BandwidthReport['end']): BandwidthMeasure | undefined => {
      if (isOver) return undefined
      isOver = true
      timer.cancel()
      socket.off('data', count)
      const measure = meter.end()
      log.info({ end: why, ...measure }, 'bandwidth test over')
      void report(id, { end: why, measure })
      return measure
    }
    const timer = clock.setTimeout(() => {
      const measure = end('time-limit')
      if (!measure) return
      const result = refusal('bandwidth-test-over', sentenceOf(measure))
      this.results.remember(keyDigest, result)
      refuse(result)
    }, limitMs)
    socket.on('data', count)
    // Whatever is under way to the next hop afterwards is no part of it.
    socket.once('close', () => end('left'))
    signal.addEventListener('abort', () => end('left'), { once: true })
    if (signal.aborted || socket.destroyed) end('left')
    return {
      pathLost() {
        end('path-lost')
        refuse(refusal('path-lost'))
      },
    }
  }
}

function isResult(code: Refusal['code']): boolean {
  return code === 'bandwidth-test-over'
}

function sentenceOf(measure: BandwidthMeasure): string {
  const { medianBitsPerSecond, lowestBitsPerSecond, stalls } = measure
  const megabits = (bits: number | null) => ((bits ?? 0) / 1e6).toFixed(2)
  const times = stalls === 1 ? 'once' : `${stalls} times`
  return (
    `The bandwidth test is over: ${megabits(medianBitsPerSecond)} Mb/s, ` +
    `${megabits(lowestBitsPerSecond)} Mb/s in its slowest second${stalls > 0 ? `, stood still ${times}` : ''}. ` +
    'Take "?bandwidthtest=true" off the key to go live.'
  )
}
