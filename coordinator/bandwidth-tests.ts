// Bandwidth tests that run or ran: who may begin one, and what the nodes of its way measured. In memory, bounded,
// for a day: a test is no broadcast, has no lease, and is listed nowhere else.
import { BoundedTable } from '../common/bounded-table.ts'
import type { Clock } from '../common/clock.ts'
import {
  type BandwidthMeasure,
  type BandwidthReport,
  type BandwidthTestRequest,
  bandwidthTestMs,
} from '../common/contract/bandwidth-test.ts'
import type { Refusal } from '../common/contract/refusal.ts'
import type { Database } from './database/database.ts'
import { publisherOf } from './publisher.ts'

export interface BandwidthTest {
  id: string
  channelId: string
  liveId: string
  clientAddress: string
  pop: string | null
  gateway: string
  /** Wall ms. */
  startedAt: number
  /** Absent until the node that the publisher came to has told. */
  end?: BandwidthReport['end']
  atPop?: BandwidthMeasure
  atGateway?: BandwidthMeasure
}

const maxTests = 1_000
const maxPerChannel = 10
const keptMs = 24 * 60 * 60_000
const lateMs = 30_000

export class BandwidthTests {
  readonly #database: Database
  readonly #clock: Clock
  readonly #tests = new BoundedTable<BandwidthTest>(maxTests)

  constructor(database: Database, clock: Clock) {
    this.#database = database
    this.#clock = clock
  }

  /** Checks the key as a publish does. */
  async begin(request: BandwidthTestRequest): Promise<{ liveId: string } | { refused: Refusal }> {
    const publisher = await publisherOf(this.#database, request.keyDigest)
    if ('code' in publisher) return { refused: publisher }
    const { channelId, liveId } = publisher
    const { connection: id, clientAddress, pop, gateway } = request
    const startedAt = this.#clock.now()
    this.#tests.set(id, { id, channelId, liveId, clientAddress, pop, gateway, startedAt })
    for (const { id: old } of this.list(channelId).slice(maxPerChannel)) this.#tests.delete(old)
    return { liveId }
  }

  /** False: there is no such test, or the node is not on its way. */
  report(id: string, node: string, { end, measure }: BandwidthReport): boolean {
    const test = this.#tests.get(id)
    if (!test || (node !== test.pop && node !== test.gateway)) return false
    if (node === test.pop) test.atPop = measure
    else test.atGateway = measure
    if (node === (test.pop ?? test.gateway)) test.end = end
    return true
  }

  find(id: string): BandwidthTest | undefined {
    const test = this.#tests.get(id)
    return test && this.#isKept(test) ? test : undefined
  }

  /** Of one channel, the newest first. */
  list(channelId: string): BandwidthTest[] {
    return [...this.#tests.values()]
      .filter((test) => test.channelId === channelId && this.#isKept(test))
      .reverse()
  }

  /** `lost`: whoever was to tell the result did not. */
  stateOf({ end, startedAt }: BandwidthTest): 'running' | 'done' | 'lost' {
    if (end !== undefined) return 'done'
    return this.#clock.now() - startedAt > bandwidthTestMs + lateMs ? 'lost' : 'running'
  }

  #isKept({ startedAt }: BandwidthTest): boolean {
    return startedAt > this.#clock.now() - keptMs
  }
}
