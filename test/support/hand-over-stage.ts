// `hand-over-stage.ts ROUNDS`: an edge in a storm of requests hands over to another process so many times; prints what
// became of the requests, as JSON. A program of its own, so that it can be put into a network namespace of its own.
import { readFileSync } from 'node:fs'
import { freePort } from './free-port.ts'
import { RequestStorm } from './request-storm.ts'
import { until } from './until.ts'
import { WrittenCluster } from './written-cluster.ts'

const rounds = Number(process.argv[2])
/** Between two hand-overs, so that each finds every viewer at work. */
const requestsBetween = 500

const host = '127.0.0.1'
await using cluster = await WrittenCluster.start()
await cluster.join('gateway', 'gw-1', { listen: { host, port: 0 } })
const [tlsPort, httpPort] = [await freePort(), await freePort()]
await cluster.join('edge', 'pop-1', {
  tls: { host, port: tlsPort },
  http: { host, port: httpPort },
  log: { level: 'info', format: 'json' },
})
const ca = readFileSync(cluster.file('pop-1', 'ca', 'ca.pem'))
const storm = new RequestStorm({ host, httpPort, tlsPort, ca, path: '/time' })
for (let round = 0; round < rounds; round++) {
  const before = storm.requests
  await until('requests', () => storm.requests > before + requestsBetween)
  const { left } = await cluster.takeOver('pop-1')
  await left()
}
const before = storm.requests
await until('requests', () => storm.requests > before + requestsBetween)
process.stdout.write(`${JSON.stringify(await storm.stop())}\n`)
