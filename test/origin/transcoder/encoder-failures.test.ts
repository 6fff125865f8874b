import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdtempDisposable, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { stringify } from 'yaml'
import { Encoder } from '../../support/encoder.ts'
import {
  descendantsOf,
  isEncoder,
  isRunning,
  processesMentioning,
} from '../../support/processes.ts'
import { clip, play } from '../../support/publisher-clips.ts'
import { RtmpTestClient } from '../../support/rtmp-client.ts'
import { SeenBroadcast, shapeOf } from '../../support/seen-broadcast.ts'
import { TranscoderRig, transcoderConfig } from '../../support/transcoder-rig.ts'
import { until } from '../../support/until.ts'

const limitMs = 60_000
/** Above a rung of the default ladder, so that there is something to encode. */
const picture = { size: '480x400', bitrate: '400k' }
const ownDir = () => mkdtempDisposable(join(tmpdir(), 'nearcast-failures-'))

/** A stand-in for ffmpeg, as a shell script. */
async function script(dir: string, text: string): Promise<string> {
  const path = join(dir, 'ffmpeg')
  await writeFile(path, `#!/bin/sh\n${text}\n`)
  await chmod(path, 0o755)
  return path
}

async function metric(rig: TranscoderRig, name: string): Promise<number> {
  const text = await (await fetch(`${rig.transcoder.endpoints.admin}/metrics`)).text()
  const found = text.split('\n').find((line) => line.startsWith(`nearcast_${name}`))
  return Number(found?.split(' ').at(-1) ?? Number.NaN)
}

test.concurrent('a publisher whose encoder fails three times in a minute is quarantined', {
  timeout: limitMs,
}, async () => {
  await using dir = await ownDir()
  const ffmpeg = await script(
    dir.path,
    'case "$1" in -version) echo "ffmpeg version test";; *) exit 3;; esac',
  )
  await using rig = await TranscoderRig.start({ transcoder: { ffmpeg } })
  const key = await rig.createChannel('demo')
  const { transcoder, streamName } = await rig.grant(key)
  await using encoder = new Encoder({ ...picture, server: transcoder.rtmp, streamKey: streamName })
  await encoder.exited
  expect(encoder.output).toMatch(/\(input-quarantined\)/)
  expect(await metric(rig, 'transcode_restarts_total{reason="crashed"}')).toBe(2)
  expect(await metric(rig, 'ingest_rejected_total{reason="input-quarantined"}')).toBe(1)

  const again = await until('another lease', () => rig.grant(key))
  await using client = await RtmpTestClient.publish(again.transcoder.rtmp, again.streamName)
  expect(client.isStarted).toBe(false)
  expect(client.statuses.at(-1)?.description).toMatch(/\(input-quarantined\)$/)
  expect(await metric(rig, 'ingest_rejected_total{reason="input-quarantined"}')).toBe(2)
  // Nobody else has to suffer for it.
  const other = await rig.grant(await rig.createChannel('other'))
  await using innocent = await RtmpTestClient.publish(other.transcoder.rtmp, other.streamName)
  expect(innocent.isStarted).toBe(true)
})

test.concurrent('an encoder that takes media and makes nothing is replaced', {
  timeout: limitMs,
}, async () => {
  await using dir = await ownDir()
  const ffmpeg = await script(
    dir.path,
    'case "$1" in -version) echo "ffmpeg version test";; *) exec cat;; esac',
  )
  await using rig = await TranscoderRig.start({ transcoder: { ffmpeg, stallMs: 1_000 } })
  const { transcoder, streamName } = await rig.grant(await rig.createChannel('demo'))
  await using _encoder = new Encoder({ ...picture, server: transcoder.rtmp, streamKey: streamName })
  await until('a restart', async () => {
    return (await metric(rig, 'transcode_restarts_total{reason="stalled"}')) >= 1
  })
})

test.concurrent('the highest rung is given up when ffmpeg falls behind, the rest goes on', {
  timeout: limitMs,
}, async () => {
  await using dir = await ownDir()
  const ladder = join(dir.path, 'ladder.yaml')
  const rungs = [80, 72].map((height) => `{ height: ${height}, videoBitsPerSecond: 100000 }`)
  await writeFile(ladder, `name: two\nrungs: [${rungs}]\npreset: ultrafast\n`)
  await using rig = await TranscoderRig.start({
    transcoder: { ladder, holdMs: 300, windowSegments: 40 },
  })
  const { transcoder, streamName } = await rig.grant(await rig.createChannel('demo'))
  await using client = await RtmpTestClient.publish(transcoder.rtmp, streamName)
  await using seen = new SeenBroadcast(`${rig.url}/live/demo`)
  const source = await clip({ seconds: 15 })
  const shown = play(client, source)
  // A new ffmpeg is left alone while it catches up.
  await until('four seconds of media', () => seen.segments('72p').length >= 2)
  const stopped = rig.encoders()
  for (const pid of stopped) process.kill(pid, 'SIGSTOP')
  await until('another ffmpeg', () => rig.encoders().some((pid) => pid !== stopped[0]))
  await shown
  await client.leave()
  await seen.ended()
  expect(stopped).toHaveLength(1)
  for (const pid of stopped) expect(isRunning(pid)).toBe(false)
  for (const name of ['90p', '72p', 'audio']) {
    expect(shapeOf(seen, name)).toMatch(/^A+B+$/)
    const media = await seen.media(name)
    const frames = media.reduce((sum, it) => sum + it.samples.length, 0)
    if (name !== 'audio') expect(frames).toBe(15 * 30)
  }
  // Gaps until the take ends; in the next one another rendition stands in for it.
  expect(shapeOf(seen, '80p')).toMatch(/^A+-+B+$/)
  expect(seen.segments('80p').at(-1)!.uri).not.toContain('/80p/')
  await seen.media('80p')
  await seen.checkMpds()
  expect([...seen.faults]).toEqual([])
  expect(seen.text('index.m3u8')).not.toContain('80p.m3u8')
  expect(await metric(rig, 'transcode_restarts_total{reason="pressure"}')).toBe(1)
})

test.concurrent('a missing ffmpeg shows in the readiness', { timeout: limitMs }, async () => {
  await using dir = await ownDir()
  await using rig = await TranscoderRig.start({ transcoder: { ffmpeg: join(dir.path, 'none') } })
  const answer = await fetch(`${rig.transcoder.endpoints.admin}/readyz?verbose`)
  expect(answer.status).toBe(503)
  expect(await answer.json()).toMatchObject({
    checks: expect.arrayContaining([expect.objectContaining({ name: 'ffmpeg', ok: false })]),
  })
})

test.concurrent('nothing outlives a transcoder that is killed', { timeout: limitMs }, async ({
  onTestFinished,
}) => {
  await using dir = await ownDir()
  await using rig = await TranscoderRig.start()
  await rig.transcoder[Symbol.asyncDispose]()
  const config = join(dir.path, 'transcoder.yaml')
  await writeFile(config, stringify(transcoderConfig(dir.path, rig.transcoderSettings)))
  const main = fileURLToPath(new URL('../../../origin/transcoder/main.ts', import.meta.url))
  const child = spawn(process.execPath, [main, '--config', config], {
    stdio: 'ignore',
    env: { ...process.env, NEARCAST_TEST_MARK: dir.path },
  })
  onTestFinished(() => void child.kill('SIGKILL'))
  const key = await rig.createChannel('demo')
  const { transcoder, streamName } = await until('a placement', () => rig.grant(key))
  await using _encoder = new Encoder({ ...picture, server: transcoder.rtmp, streamKey: streamName })
  const helpers = await until('its receiver and its ffmpeg', () => {
    const found = descendantsOf(child.pid!)
    return found.some(isEncoder) && found
  })
  expect(helpers.length).toBeGreaterThanOrEqual(2)
  child.kill('SIGKILL')
  await once(child, 'exit')
  expect(await processesMentioning(dir.path)).toEqual([])
  await until('all to be gone', () => helpers.every(({ pid }) => !isRunning(pid)))
  rig.transcoder = { endpoints: {}, async reload() {}, async [Symbol.asyncDispose]() {} }
})

test.concurrent('a ladder file is taken over on a reload, and a bad one is not', {
  timeout: limitMs,
}, async () => {
  await using dir = await ownDir()
  const ladder = join(dir.path, 'ladder.yaml')
  const rung = (height: number) =>
    `name: x\nrungs: [{ height: ${height}, videoBitsPerSecond: 200000 }]\n`
  await writeFile(ladder, rung(240))
  await using rig = await TranscoderRig.start({ transcoder: { ladder } })
  await writeFile(ladder, 'rungs: 7')
  await expect(rig.transcoder.reload()).rejects.toThrow(/ladder\.yaml: name/)
  await writeFile(ladder, rung(180))
  await rig.transcoder.reload()
  const { transcoder, streamName } = await rig.grant(await rig.createChannel('demo'))
  const server = transcoder.rtmp
  await using _encoder = new Encoder({ server, streamKey: streamName, size: '320x240' })
  const text = await until('a playlist', () => rig.text('/live/demo/index.m3u8'))
  expect(text.match(/^\d+p\.m3u8$/gm)).toEqual(['240p.m3u8', '180p.m3u8'])
})
