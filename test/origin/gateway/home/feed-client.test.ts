// What a home does with a feed that it cannot take in: the process is other homes' as well.
import { expect, it } from 'vitest'
import { systemClock } from '../../../../common/clock.ts'
import { HttpClient } from '../../../../common/http-client.ts'
import { frameBytes } from '../../../../common/live/feed-frames.ts'
import { createLogger } from '../../../../common/log.ts'
import { FeedClient } from '../../../../origin/gateway/home/feed-client.ts'
import { ScriptedOrigin } from '../../../support/scripted-origin.ts'

it('leaves a feed on which reading fails, says why, and asks again', async () => {
  await using transcoder = await ScriptedOrigin.start()
  await using http = new HttpClient()
  const lines: string[] = []
  let frames = 0
  await using client = new FeedClient({
    source: { liveId: 'demo', epoch: 1, instance: 'an-instance', url: transcoder.url },
    http,
    authorize: async () => 'node-token',
    clock: systemClock,
    log: createLogger({ name: 'gw-1', destination: { write: (line) => lines.push(line) } }),
    onFrame: () => {
      frames++
      throw new Error('not to be understood')
    },
    onGone: () => {},
  })
  client.start()
  const first = await transcoder.next()
  const ping = frameBytes({ kind: 'ping' })
  first.head(200).write(Buffer.concat([...ping, ...ping]))
  await first.abandoned
  await transcoder.next()
  expect(frames).toBe(1)
  expect(lines.map((it) => JSON.parse(it))).toMatchObject([{ end: 'not to be understood' }])
})
