// Publishers who leave and come back, and the node that restarts meanwhile: one broadcast, numbers that only grow,
// a recording of all of it.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { stringify } from 'yaml'
import { type LivePlaylist, readLivePlaylist } from '../../support/hls-text.ts'
import { clip, play } from '../../support/publisher-clips.ts'
import { RtmpTestClient } from '../../support/rtmp-client.ts'
import { SeenBroadcast, shapeOf, takeOf } from '../../support/seen-broadcast.ts'
import { smallLadder, TranscoderRig, transcoderConfig } from '../../support/transcoder-rig.ts'
import { until } from '../../support/until.ts'

const limitMs = 60_000
const mainFile = fileURLToPath(new URL('../../../origin/transcoder/main.ts', import.meta.url))

function boot(holdMs: number): Promise<TranscoderRig> {
  // A gap is listed when nothing has been for 1.25 target durations.
  const transcoder = { holdMs, windowSegments: 40, targetDurationSeconds: 2 }
  return TranscoderRig.start({ ladder: smallLadder, transcoder })
}

/** Publishes four seconds, faster than life, and is gone; answers the broadcast. */
async function show(rig: TranscoderRig, key: string): Promise<string> {
  const { transcoder, streamName, broadcastId } = await until('a lease', () => rig.grant(key))
  await using client = await RtmpTestClient.publish(transcoder.rtmp, streamName)
  expect(client.isStarted).toBe(true)
  await play(client, await clip({ seconds: 4 }), 2)
  await client.leave()
  return broadcastId
}

function count(seen: SeenBroadcast, pattern: RegExp): number {
  return shapeOf(seen, '90p').match(pattern)?.length ?? 0
}

async function bytes(rig: TranscoderRig, path: string): Promise<Buffer> {
  const answer = await fetch(rig.url + path)
  expect([path, answer.status]).toEqual([path, 200])
  return Buffer.from(await answer.arrayBuffer())
}

/** What was recorded before the restart is known early; the replay is there when the broadcast has ended. */
async function replayed(rig: TranscoderRig, id: string): Promise<LivePlaylist> {
  return readLivePlaylist(await until('the replay', () => rig.text(`/replay/${id}/90p.m3u8`)))
}

interface Recording {
  id: string
  durationMs: number
}

function recording(rig: TranscoderRig): Promise<Recording> {
  return until('the recording', async () => {
    const answer = await rig.api('GET', '/api/v1/recordings?liveId=demo')
    return (answer as { recordings: Recording[] }).recordings[0]
  })
}

describe.concurrent('within the hold', { timeout: limitMs }, () => {
  test('a publisher who comes back goes on in the same broadcast, behind gaps that were there in time', async ({
    expect,
  }) => {
    await using rig = await boot(6_000)
    const key = await rig.createChannel('demo')
    const url = `${rig.url}/live/demo`
    await using seen = new SeenBroadcast(url)
    const first = await show(rig, key)
    await until('gaps', () => count(seen, /-/g) >= 1)
    expect(seen.text('90p.m3u8')).not.toContain('ENDLIST')
    expect(await rig.text('/live/demo/manifest.mpd')).toContain('type="dynamic"')
    expect(await show(rig, key)).toBe(first)
    await seen.ended()

    for (const name of ['90p', '72p', 'audio']) {
      expect(shapeOf(seen, name)).toMatch(/^AAA?-+BBB?-*$/)
      expect(shapeOf(seen, name)).toBe(shapeOf(seen, '90p'))
      const media = await seen.media(name)
      expect(media.map((it) => it.take)).toEqual(seen.takes(name))
      for (const { samples, decodedFrames, track } of media) {
        if (track.kind === 'video') expect([samples.length, decodedFrames]).toEqual([120, 120])
      }
    }
    await seen.checkMpds()
    expect([...seen.faults]).toEqual([])
    for (const name of ['manifest.mpd', 'timeline.mpd']) {
      const mpd = (await rig.text(`/live/demo/${name}`))!
      expect(mpd).toContain('type="static"')
      expect(mpd.match(/<Period /g)).toHaveLength(2)
    }

    const { id, durationMs } = await recording(rig)
    for (const name of ['90p', '72p', 'audio']) {
      const live = seen.segments(name).filter((it) => !it.isGap)
      const replay = readLivePlaylist((await rig.text(`/replay/${id}/${name}.m3u8`))!)
      expect(replay).toMatchObject({ type: 'VOD', isEnded: true })
      expect(replay.segments.map((it) => it.uri)).toEqual(live.map((it) => it.uri))
      for (const { uri, mapUri } of replay.segments) {
        for (const it of [uri, mapUri]) {
          expect(await bytes(rig, `/replay/${id}/${it}`)).toEqual(
            await bytes(rig, `/live/demo/${it}`),
          )
        }
      }
    }
    const media = seen.segments('90p').filter((it) => !it.isGap)
    const seconds = media.reduce((sum, it) => sum + it.seconds, 0)
    expect(Math.abs(durationMs - seconds * 1000)).toBeLessThan(100)
  })

  test('what viewers wait for when a publisher leaves is answered: the segment ends, a gap follows', async ({
    expect,
  }) => {
    await using rig = await boot(20_000)
    const key = await rig.createChannel('demo')
    const { transcoder, streamName } = await rig.grant(key)
    await using client = await RtmpTestClient.publish(transcoder.rtmp, streamName)
    await play(client, await clip({ seconds: 5, keyframes: 60 }), 2)
    const text = await until('an open segment', async () => {
      const now = await rig.text('/live/demo/90p.m3u8')
      return now !== undefined && readLivePlaylist(now).segments.at(-1)!.uri === undefined && now
    })
    const { segments, hints } = readLivePlaylist(text)
    const open = segments.at(-1)!
    const folder = open.parts[0]!.uri.replace(/[^/]*$/, '')
    const waiting = {
      segment: fetch(`${rig.url}/live/demo/${folder}${open.number}.m4s`),
      part: fetch(`${rig.url}/live/demo/${hints[0]!.URI}`),
      playlist: rig.text(`/live/demo/90p.m3u8?_HLS_msn=${open.number + 1}`),
    }
    // A pulled cable.
    client.socket.resetAndDestroy()

    const after = readLivePlaylist((await waiting.playlist)!)
    const closed = after.segments.find((it) => it.number === open.number)!
    expect(after.segments.at(-1)).toMatchObject({ number: open.number + 1, isGap: true })
    const grown = await waiting.segment
    expect(grown.status).toBe(200)
    const whole = await bytes(rig, `/live/demo/${closed.uri}`)
    expect(Buffer.from(await grown.arrayBuffer())).toEqual(whole)
    const part = await waiting.part
    const last = closed.parts.at(-1)!
    // The last frames may have made a part of their own, or none.
    expect(part.status).toBe(last.uri === hints[0]!.URI ? 200 : 404)
    await part.arrayBuffer()
  })

  test('a transcoder that restarts while a publisher is away goes on above its old numbers', async ({
    expect,
  }) => {
    await using rig = await boot(10_000)
    const key = await rig.createChannel('demo')
    await using before = new SeenBroadcast(`${rig.url}/live/demo`)
    const first = await show(rig, key)
    await until('gaps', () => count(before, /-/g) >= 1)
    await before.stop()
    await rig.restartTranscoder()
    await using after = new SeenBroadcast(`${rig.url}/live/demo`)
    expect(await show(rig, key)).toBe(first)
    await until('gaps', () => count(after, /-/g) >= 1)
    await after.stop()
    for (const name of ['90p', '72p', 'audio']) {
      expect(shapeOf(after, name)).toMatch(/^-*AAA?-+$/)
      const old = before.segments(name)
      const young = after.segments(name)
      expect(young[0]!.number).toBeGreaterThan(old.at(-1)!.number)
      expect(before.takes(name)).not.toContain(takeOf(young.at(-1)!))
      await after.media(name)
    }
    expect([...before.faults, ...after.faults]).toEqual([])
    await rig.api('DELETE', '/api/v1/streams/demo')
    const { id } = await recording(rig)
    const replay = await replayed(rig, id)
    const all = [...before.segments('90p'), ...after.segments('90p')].filter((it) => !it.isGap)
    expect(replay.segments.map((it) => it.uri)).toEqual(all.map((it) => it.uri))
  })

  test('a transcoder that is killed and comes back goes on above its old numbers', async ({
    expect,
  }) => {
    await using rig = await boot(20_000)
    await rig.transcoder[Symbol.asyncDispose]()
    const config = join(rig.dir, 'transcoder.yaml')
    await writeFile(config, stringify(transcoderConfig(rig.dir, rig.transcoderSettings)))
    const child = spawn(process.execPath, [mainFile, '--config', config], { stdio: 'ignore' })
    using _ended = { [Symbol.dispose]: () => child.kill('SIGKILL') }
    const key = await rig.createChannel('demo')
    const { transcoder, streamName, broadcastId } = await until('a lease', () => rig.grant(key))
    await using client = await RtmpTestClient.publish(transcoder.rtmp, streamName)
    expect(client.isStarted).toBe(true)
    const url = await until('its address', () => rig.playbackUrl())
    await using before = new SeenBroadcast(`${url}/live/demo`)
    await play(client, await clip({ seconds: 7 }), 2)
    await before.stop()
    child.kill('SIGKILL')
    await once(child, 'exit')
    rig.transcoder = { endpoints: {}, async reload() {}, async [Symbol.asyncDispose]() {} }
    await rig.restartTranscoder()
    await using after = new SeenBroadcast(`${rig.url}/live/demo`)
    expect(await show(rig, key)).toBe(broadcastId)
    await until('gaps', () => count(after, /A-/g) >= 1)
    await after.stop()
    for (const name of ['90p', '72p', 'audio']) {
      expect(before.takes(name)).toHaveLength(1)
      expect(after.takes(name)).toHaveLength(1)
      expect(after.takes(name)).not.toEqual(before.takes(name))
      expect(after.segments(name)[0]!.number).toBeGreaterThan(before.segments(name).at(-1)!.number)
      await after.media(name)
    }
    expect([...before.faults, ...after.faults]).toEqual([])
    await rig.api('DELETE', '/api/v1/streams/demo')
    const { id } = await recording(rig)
    const replay = await replayed(rig, id)
    const listed = replay.segments.map((it) => it.uri)
    // What was closed a moment before may not have been on disk.
    const old = before.segments('90p').slice(0, -1)
    for (const { uri, isGap } of [...old, ...after.segments('90p')]) {
      if (!isGap) expect(listed).toContain(uri)
    }
  })
})
