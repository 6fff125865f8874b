// What a scrape says of a cache, where the cache itself keeps plain numbers.
import { expect, test } from 'vitest'
import { CacheRig } from '../../support/cache-rig.ts'

const segment = '/live/demo/abcdef12-1/720p/7.m4s'

test('requests, first bytes and what was sent are told from the numbers that are kept', async () => {
  await using rig = await CacheRig.start()
  const first = rig.view('h1', segment)
  const exchange = await rig.origin.next()
  await rig.clock.advance(30)
  exchange.head(200).end('12345')
  await (await first).text()
  for (const protocol of ['h1', 'h2', 'h2'] as const)
    await (await rig.view(protocol, segment)).text()
  const text = await rig.metrics.registry.metrics()
  const lines = text
    .split('\n')
    .filter((line) => /_(?:requests|egress|ttfb|downstream)_/.test(line))
  expect(lines.filter((line) => !line.startsWith('# HELP'))).toEqual(
    expect.arrayContaining([
      '# TYPE nearcast_cache_requests_total counter',
      'nearcast_cache_requests_total{result="hit",kind="segment"} 3',
      'nearcast_cache_requests_total{result="miss",kind="segment"} 1',
      'nearcast_cache_downstream_bytes_total 20',
      'nearcast_egress_bytes_total{protocol="http"} 10',
      'nearcast_egress_bytes_total{protocol="h2"} 10',
      '# TYPE nearcast_http_ttfb_seconds histogram',
      'nearcast_http_ttfb_seconds_bucket{le="0.001",kind="segment"} 3',
      'nearcast_http_ttfb_seconds_bucket{le="0.025",kind="segment"} 3',
      'nearcast_http_ttfb_seconds_bucket{le="0.05",kind="segment"} 4',
      'nearcast_http_ttfb_seconds_bucket{le="+Inf",kind="segment"} 4',
      'nearcast_http_ttfb_seconds_sum{kind="segment"} 0.03',
      'nearcast_http_ttfb_seconds_count{kind="segment"} 4',
    ]),
  )
  expect(text).not.toContain('kind="mpd"')
})

test('why objects leave memory is told, and not that a cache ends', async () => {
  await using rig = await CacheRig.start({ maxBytes: 5_000 })
  rig.origin.respond = (exchange) => exchange.head(200).end('x'.repeat(1_000))
  const playlist = '/live/demo/720p.m3u8'
  await (await rig.view('h1', playlist)).text()
  await rig.clock.advance(1_000)
  await (await rig.view('h1', playlist)).text()
  for (const number of [1, 2, 3])
    await (await rig.view('h1', `/live/a/abcdef12-1/v/${number}.m4s`)).text()
  rig.cache.purge('/live/a/abcdef12-1/v/3')
  await rig.cache[Symbol.asyncDispose]()
  const evicted = (reason: string) => rig.metric('cache_evictions_total', { reason })
  expect(await Promise.all(['room', 'purge'].map(evicted))).toEqual([2, 1])
})
