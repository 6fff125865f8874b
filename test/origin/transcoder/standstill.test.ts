// A transcoder whose process stands still for longer than its leases live, and goes on as if nothing had been.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { stringify } from 'yaml'
import { between, clip, headersOf, play } from '../../support/publisher-clips.ts'
import { RtmpTestClient } from '../../support/rtmp-client.ts'
import { TranscoderRig, transcoderConfig } from '../../support/transcoder-rig.ts'
import { until } from '../../support/until.ts'

const limitMs = 90_000
const mainFile = fileURLToPath(new URL('../../../origin/transcoder/main.ts', import.meta.url))

test('a transcoder that was frozen lists nothing more of a stream that it has lost meanwhile', {
  timeout: limitMs,
}, async () => {
  await using rig = await TranscoderRig.start({ transcoder: { holdMs: 60_000 } })
  await rig.transcoder[Symbol.asyncDispose]()
  const config = join(rig.dir, 'transcoder.yaml')
  await writeFile(config, stringify(transcoderConfig(rig.dir, rig.transcoderSettings)))
  const child = spawn(process.execPath, [mainFile, '--config', config], { stdio: 'ignore' })
  using _ended = { [Symbol.dispose]: () => child.kill('SIGKILL') }
  rig.transcoder = { endpoints: {}, async reload() {}, async [Symbol.asyncDispose]() {} }
  const key = await rig.createChannel('demo')
  const { transcoder, streamName } = await until('a lease', () => rig.grant(key))
  await using client = await RtmpTestClient.publish(transcoder.rtmp, streamName)
  const media = await clip({ seconds: 8 })
  await play(client, [...headersOf(media), ...between(media, 0, 5)], 2)
  const playlist = async () => {
    const answer = await fetch(`${transcoder.url}/live/demo/90p.m3u8`)
    return { status: answer.status, text: await answer.text() }
  }
  await until('a playlist', async () => (await playlist()).status === 200)

  child.kill('SIGSTOP')
  // Waits in the kernel, with what the encoder makes of the media before it.
  const waiting = between(media, 5, 8).map((it) => ({ ...it, dueMs: 0 }))
  await play(client, waiting)
  // Of a transcoder that is gone the operator ends the broadcast at once.
  await until('the loss of the lease', async () => {
    const { streams } = (await rig.api('GET', '/api/v1/streams')) as { streams: unknown[] }
    if (streams.length > 0) await rig.api('DELETE', '/api/v1/streams/demo')
    return streams.length === 0
  })
  child.kill('SIGCONT')

  const seen = await playlist()
  expect([404, 503]).toContain(seen.status)
  await client.closed()
  expect(client.statuses.at(-1)?.description).toMatch(/\(lease-lost\)$/)
  expect((await playlist()).status).not.toBe(200)
  child.kill('SIGTERM')
  await once(child, 'exit')
})
