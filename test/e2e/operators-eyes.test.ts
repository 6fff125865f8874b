// What an operator does to the caches of a running cluster of two POPs, by the commands that an operator has.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { nearcast } from '../bin/command.ts'
import { Cluster } from '../support/cluster.ts'
import { Encoder } from '../support/encoder.ts'
import { until } from '../support/until.ts'

let cluster: Cluster
let encoder: Encoder

beforeAll(async () => {
  cluster = await Cluster.start({ pops: 2, gateways: 2 })
  const { edges, channels } = cluster.facts
  const { streamKey } = channels[0]!
  encoder = new Encoder({ server: edges[0]!.rtmps, streamKey, size: '640x480' })
})
afterAll(async () => {
  await encoder?.[Symbol.asyncDispose]()
  await cluster?.[Symbol.asyncDispose]()
})

const run = (...args: string[]) => nearcast([...args, '--data', cluster.dir])

/** The newest whole segment that the playlists of a POP list. */
async function newestSegment(http: string): Promise<string> {
  const index = await (await fetch(`${http}/live/demo/index.m3u8`)).text()
  const rendition = index.match(/^[^#].*\.m3u8$/m)![0]
  const playlist = await (await fetch(`${http}/live/demo/${rendition}`)).text()
  return `/live/demo/${playlist.match(/^[^#].*\.m4s$/gm)!.at(-1)}`
}

/** What the cache of the POP itself did. */
async function outcomeAt(http: string, path: string): Promise<string> {
  const answer = await fetch(http + path)
  expect(answer.status).toBe(200)
  await answer.arrayBuffer()
  return answer.headers.get('cache-status')!.split(', ').at(-1)!
}

describe('purge', () => {
  test('reaches both gateways and both POPs; each fetches the object anew', async () => {
    const pops = cluster.facts.edges.map(({ http }) => http)
    const path = await until('a segment', () => newestSegment(pops[0]!))
    for (const http of pops) {
      await outcomeAt(http, path)
      expect(await outcomeAt(http, path)).toContain('; hit')
    }
    const { code, stdout } = await run('purge', 'demo', '--json')
    const purge = JSON.parse(stdout)
    expect(purge).toMatchObject({ prefix: '/live/demo/', complete: true })
    expect(code).toBe(0)
    const nodes = purge.nodes.map(({ id, outcome }: Record<string, string>) => [id, outcome])
    expect(Object.fromEntries(nodes)).toEqual({
      'gw-1': 'purged',
      'gw-2': 'purged',
      'pop-1': 'purged',
      'pop-2': 'purged',
    })
    for (const { role, objects } of purge.nodes) {
      if (role === 'edge') expect(objects).toBeGreaterThan(0)
    }
    for (const http of pops) expect(await outcomeAt(http, path)).toContain('fwd=miss')
  })

  test('by URL drops that object alone', async () => {
    const { http } = cluster.facts.edges[1]!
    const path = await newestSegment(http)
    const index = '/live/demo/index.m3u8'
    await outcomeAt(http, path)
    const { stdout } = await run('purge', `${http}${path}?token=x`)
    expect(stdout).toMatch(new RegExp(`^${path}: 4 of 4 caches in \\d+ ms\nNODE +ROLE +OUTCOME`))
    expect(await outcomeAt(http, path)).toContain('fwd=miss')
    expect(await outcomeAt(http, index)).not.toContain('fwd=miss')
  })
})

test('cache why asks the POP that the URL leads to', async () => {
  const { http } = cluster.facts.edges[1]!
  const path = await newestSegment(http)
  await outcomeAt(http, path)
  const { stdout } = await run('cache', 'why', http + path, '--json')
  expect(JSON.parse(stdout)).toMatchObject({
    node: 'pop-2',
    object: { kind: 'segment', id: 'demo' },
    cache: { next: 'hit', stored: { status: 200 } },
    gateways: [expect.stringContaining('http://'), expect.stringContaining('http://')],
  })
})

test('top tells of every edge and gateway', async () => {
  const { stdout } = await run('top', '--once', '--json', '--interval', '0.5')
  const { nodes } = JSON.parse(stdout)
  expect(nodes.map(({ node }: { node: string }) => node).sort()).toEqual([
    'gw-1',
    'gw-2',
    'pop-1',
    'pop-2',
  ])
  for (const { cache } of nodes) expect(cache).toMatchObject({ held: 0 })
})

test('purge names a POP that stands still, which purges when it goes on', async () => {
  const { pid, http } = cluster.facts.edges[1]!
  const path = await newestSegment(http)
  await outcomeAt(http, path)
  process.kill(pid, 'SIGSTOP')
  let purge: { id: string }
  try {
    const { code, stdout, stderr } = await run('purge', 'demo', '--json')
    expect(code, stderr).toBe(1)
    purge = JSON.parse(stdout)
    expect(purge).toMatchObject({
      complete: false,
      nodes: expect.arrayContaining([
        { id: 'pop-1', role: 'edge', outcome: 'purged', objects: expect.any(Number) },
        { id: 'pop-2', role: 'edge', outcome: 'not-reached', objects: 0 },
      ]),
    })
  } finally {
    process.kill(pid, 'SIGCONT')
  }
  await until('the POP to have purged', async () => {
    const now = await cluster.api<{ complete: boolean }>('GET', `/api/v1/purges/${purge.id}`)
    return now.complete
  })
  expect(await outcomeAt(http, path)).toContain('fwd=miss')
})
