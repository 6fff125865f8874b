// What `nearcast purge` says and exits with, by what the coordinator answers.
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, test } from 'vitest'
import { nearcast } from './command.ts'

async function purgeAnswered(nodes: object[], complete: boolean) {
  const server = createServer((req, res) => {
    req.resume()
    const purge = { id: crypto.randomUUID(), prefix: '/live/demo/', milliseconds: 900 }
    res.setHeader('content-type', 'application/json')
    res.end(JSON.stringify({ ...purge, complete, nodes }))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const result = await nearcast(['purge', 'demo', '--url', url, '--token', `nct_${'t'.repeat(32)}`])
  server.close()
  return result
}

test('a purge that a worker has not answered names it, and exits with 1', async () => {
  const { code, stdout, stderr } = await purgeAnswered(
    [
      { id: 'pop-1', role: 'edge', outcome: 'purged', objects: 4 },
      { id: 'pop-2', role: 'edge', outcome: 'not-reached', objects: 2, lateWorkers: [1, 3] },
    ],
    false,
  )
  expect(stdout).toContain('1 of 2 caches')
  expect(stdout).toMatch(/^pop-2 +edge +worker 1, 3 late +-$/m)
  expect(stderr).toContain('may still be served')
  expect(code).toBe(1)
})

test('a purge that all caches have answered exits with 0', async () => {
  const nodes = [{ id: 'pop-1', role: 'edge', outcome: 'purged', objects: 4 }]
  const { code, stdout } = await purgeAnswered(nodes, true)
  expect(stdout).toMatch(/^pop-1 +edge +purged +4$/m)
  expect(code).toBe(0)
})
