// Process: the delivery half of an edge, in front of the origin whose URL is the first argument. Sends its
// port to the parent.
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { systemClock } from '../../common/clock.ts'
import { createLogger } from '../../common/log.ts'
import { Metrics } from '../../common/metrics.ts'
import { version } from '../../common/version.ts'
import { DeliveryHandler } from '../../edge/delivery/delivery-handler.ts'
import { StaticPages } from '../../edge/delivery/static-pages.ts'

const origin = process.argv[2]!
const delivery = new DeliveryHandler({
  name: 'bench',
  cache: { memoryBytes: 512 * 1024 * 1024, maxObjectBytes: 64 * 1024 * 1024 },
  upstream: { connectTimeoutMs: 3_000, waitTargetDurations: 3 },
  pickGateways: () => [origin],
  authorize: async () => 'none',
  isReady: () => true,
  pages: new StaticPages(new Map()),
  clock: systemClock,
  log: createLogger({ name: 'bench', level: 'error', format: 'json' }),
  metrics: new Metrics('edge', 'bench', version),
})
const server = createServer((req, res) => delivery.handle(req, res))
server.listen(0, '127.0.0.1', () => process.send?.((server.address() as AddressInfo).port))
process.once('disconnect', async () => {
  server.close()
  server.closeAllConnections()
  await delivery[Symbol.asyncDispose]()
})
