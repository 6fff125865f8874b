import { execFile } from 'node:child_process'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { probeMedia } from '../../../origin/transcoder/media-probe.ts'
import { Encoder, type EncoderOptions } from '../../support/encoder.ts'
import { checkPlaylistEdit, playlistFaults } from '../../support/hls-rules.ts'
import { readLivePlaylist } from '../../support/hls-text.ts'
import {
  assertSuccessor,
  type ReadPlaylist,
  readMediaPlaylist,
} from '../../support/media-playlist.ts'
import { childrenOf } from '../../support/processes.ts'
import { RtmpTestClient } from '../../support/rtmp-client.ts'
import { decodeErrors } from '../../support/source-media.ts'
import { TranscoderRig } from '../../support/transcoder-rig.ts'
import { until } from '../../support/until.ts'

const run = promisify(execFile)
const limitMs = 60_000

/** Shorter than the usual ones, of which the first test waits for some: most of the time is spent on waiting for segments. */
const segmentSeconds = 1

function boot(transcoder: Record<string, unknown> = {}): Promise<TranscoderRig> {
  return TranscoderRig.start({ transcoder: { segmentSeconds, ...transcoder } })
}

/** For tests that look at nothing but their own channel. */
let shared: TranscoderRig

beforeAll(async () => {
  shared = await boot()
}, limitMs)

afterAll(() => shared?.[Symbol.asyncDispose]())

/** Small, so that encoding costs little: a source and one rung below it. */
const picture = { size: '480x400', framesPerSecond: 25, bitrate: '400k', keyframeSeconds: 1 }

async function publish(
  rig: TranscoderRig,
  key: string,
  options: Partial<EncoderOptions> = {},
): Promise<Encoder> {
  const { transcoder, streamName } = await rig.grant(key)
  return new Encoder({ ...picture, server: transcoder.rtmp, streamKey: streamName, ...options })
}

async function playlist(rig: TranscoderRig, path: string): Promise<ReadPlaylist | undefined> {
  const text = await rig.text(path)
  return text === undefined ? undefined : readMediaPlaylist(text)
}

/** Waits for a playlist with so many segments, checking every reload on the way. */
async function playlistOf(
  rig: TranscoderRig,
  path: string,
  test: (it: ReadPlaylist) => boolean,
): Promise<ReadPlaylist> {
  let before: ReadPlaylist | undefined
  return await until(`a playlist ${path}`, async () => {
    const now = await playlist(rig, path)
    if (!now) return undefined
    if (before) assertSuccessor(before, now)
    before = now
    return test(now) && now
  })
}

/** An init section, a segment or a part. */
async function media(rig: TranscoderRig, liveId: string, uri: string): Promise<Buffer> {
  const answer = await fetch(`${rig.url}/live/${liveId}/${uri}`)
  expect(answer.status).toBe(200)
  return Buffer.from(await answer.arrayBuffer())
}

/** Decodes all that a URL offers; answers what ffmpeg complains about. */
async function decode(rig: TranscoderRig, path: string): Promise<string> {
  const args = ['-v', 'warning', '-i', rig.url + path, '-map', '0', '-f', 'null', '-']
  const { stderr } = await run('ffmpeg', args, { timeout: 30_000 })
  return stderr
}

async function probe(rig: TranscoderRig, path: string): Promise<unknown> {
  const args = ['-v', 'error', '-show_entries', 'stream=codec_name,height', '-of', 'json']
  const { stdout, stderr } = await run('ffprobe', [...args, rig.url + path], { timeout: 30_000 })
  expect(stderr).toBe('')
  return JSON.parse(stdout).streams
}

describe.concurrent('a stream with picture and sound', { timeout: limitMs }, () => {
  test('is offered in every rung below the source, the source copied, and reads without an error', async () => {
    await using rig = await boot({ segmentSeconds: 2 })
    const key = await rig.createChannel('demo')
    await using encoder = await publish(rig, key, { keyframeSeconds: 2 })
    await playlistOf(rig, '/live/demo/400p.m3u8', (it) => it.segments.length >= 2)
    const multivariant = (await rig.text('/live/demo/index.m3u8'))!
    expect(multivariant).toMatch(/RESOLUTION=480x400,FRAME-RATE=25.000/)
    expect(multivariant).toMatch(/RESOLUTION=432x360,FRAME-RATE=25.000/)
    expect(multivariant.match(/^#EXT-X-STREAM-INF/gm)).toHaveLength(2)
    expect(multivariant).toMatch(/CODECS="avc1\.[0-9a-f]{6},mp4a\.40\.2"/)
    for (const name of ['400p', '360p', 'audio']) {
      expect(multivariant).toMatch(new RegExp(`STABLE-(VARIANT|RENDITION)-ID="${name}"`))
    }
    expect(playlistFaults(multivariant)).toEqual([])
    const status = (await rig.api('GET', '/api/v1/streams/demo')) as Record<string, unknown>
    expect(status).toMatchObject({
      liveId: 'demo',
      video: { width: 480, height: 400, codec: expect.stringMatching(/^avc1/) },
      audio: { sampleRate: 48_000, channels: 2 },
    })
    expect((status.renditions as { name: string }[]).map((it) => it.name)).toEqual([
      '400p',
      '360p',
      'audio',
    ])
    await encoder.stop()
    await playlistOf(rig, '/live/demo/400p.m3u8', (it) => it.segments.at(-1)!.durationSeconds < 1.9)
    expect(await probe(rig, '/live/demo/400p.m3u8')).toEqual([{ codec_name: 'h264', height: 400 }])
    expect(await probe(rig, '/live/demo/360p.m3u8')).toEqual([{ codec_name: 'h264', height: 360 }])
    expect(await probe(rig, '/live/demo/audio.m3u8')).toEqual([{ codec_name: 'aac' }])
  })

  test('has parts, hints at the next one, and answers a request for it as soon as it is there', async () => {
    const rig = shared
    const key = await rig.createChannel('parts')
    await using _encoder = await publish(rig, key)
    await playlistOf(rig, '/live/parts/360p.m3u8', (it) => it.segments.length >= 1)
    for (const name of ['400p', '360p', 'audio']) {
      const text = (await rig.text(`/live/parts/${name}.m3u8`))!
      expect(playlistFaults(text)).toEqual([])
      const before = readLivePlaylist(text)
      const { hints, segments, serverControl, reports } = before
      expect(serverControl).toMatchObject({ 'CAN-BLOCK-RELOAD': 'YES' })
      expect(reports).toHaveLength(2)
      expect(hints).toHaveLength(1)
      const hinted = await media(rig, 'parts', hints[0]!.URI!)
      const number = segments.at(-1)!.number + 1
      const blocked = (await rig.text(`/live/parts/${name}.m3u8?_HLS_msn=${number}&_HLS_part=0`))!
      expect(checkPlaylistEdit(text, blocked)).toEqual([])
      const after = readLivePlaylist(blocked).segments
      expect(after.at(-1)!.number).toBeGreaterThanOrEqual(number)
      const part = after.flatMap((it) => it.parts).find((it) => it.uri === hints[0]!.URI)
      expect(part).toBeDefined()
      expect(await media(rig, 'parts', part!.uri)).toEqual(hinted)
    }
  })

  test('goes on in one playlist when the publisher comes back', async () => {
    const rig = shared
    const key = await rig.createChannel('again')
    const first = await publish(rig, key)
    const before = await playlistOf(rig, '/live/again/360p.m3u8', (it) => it.segments.length >= 2)
    await first.kill()
    await using _second = await publish(rig, key)
    const after = await playlistOf(
      rig,
      '/live/again/360p.m3u8',
      (it) => it.segments.filter((segment) => segment.hasDiscontinuity).length === 1,
    )
    assertSuccessor(before, after)
    expect(after.isEnded).toBe(false)
    expect(after.segments.map((it) => it.uri.split('/')[2])).toEqual(
      after.segments.map((it) => `${it.number}.m4s`),
    )
    const audio = (await playlist(rig, '/live/again/audio.m3u8'))!
    expect(audio.discontinuitySequence).toBe(after.discontinuitySequence)
    const mpd = (await rig.text('/live/again/manifest.mpd'))!
    expect(mpd.match(/<Period /g)).toHaveLength(2)
    expect(mpd).toContain('type="dynamic"')
  })

  test('goes to the encoder that came last, and the one before is told, also while the node drains', async () => {
    await using rig = await boot()
    const key = await rig.createChannel('demo')
    const { streamName: other } = await rig.grant(await rig.createChannel('other'))
    await using first = await publish(rig, key)
    await playlistOf(rig, '/live/demo/360p.m3u8', (it) => it.segments.length >= 1)
    const { admin, rtmp } = rig.transcoder.endpoints
    expect((await fetch(`${admin}/drain`, { method: 'POST' })).ok).toBe(true)
    await using late = await RtmpTestClient.publish(String(rtmp), other)
    expect(late.statuses[0]?.description).toMatch(/\(maintenance\)$/)
    await using _second = await publish(rig, key)
    await first.exited
    expect(first.output).toMatch(/\(already-publishing\)/)
    await playlistOf(rig, '/live/demo/360p.m3u8', (it) =>
      it.segments.some((segment) => segment.hasDiscontinuity),
    )
  })

  test('goes on in the same take, without a gap, when its ffmpeg is killed', async () => {
    await using rig = await boot()
    const key = await rig.createChannel('demo')
    await using _encoder = await publish(rig, key)
    await playlistOf(rig, '/live/demo/360p.m3u8', (it) => it.segments.length >= 2)
    const killed = rig.encoders()
    expect(killed).toHaveLength(1)
    for (const pid of killed) process.kill(pid, 'SIGKILL')
    const { segments } = await playlistOf(
      rig,
      '/live/demo/360p.m3u8',
      (it) => it.segments.length >= 5,
    )
    expect(segments.filter((it) => it.isGap || it.hasDiscontinuity)).toEqual([])
    expect(new Set(segments.map((it) => it.mapUri)).size).toBe(1)
    expect(await rig.text('/live/demo/manifest.mpd')).toMatch(/^(?!.*<Period.*<Period)/s)
    expect(rig.encoders()).not.toEqual(killed)
    for (const { durationSeconds } of segments)
      expect(durationSeconds).toBeCloseTo(segmentSeconds, 1)
    const bytes = await Promise.all(
      [segments[0]!.mapUri, ...segments.map((it) => it.uri)].map((uri) => media(rig, 'demo', uri)),
    )
    expect(await decodeErrors(Buffer.concat(bytes), [])).toBe('')
  })

  test('ends with the end of its playlists and is a replay afterwards, also after a restart', async () => {
    await using rig = await boot({ holdMs: 500 })
    const key = await rig.createChannel('demo')
    const encoder = await publish(rig, key)
    await playlistOf(rig, '/live/demo/400p.m3u8', (it) => it.segments.length >= 2)
    await encoder.stop()
    await playlistOf(rig, '/live/demo/400p.m3u8', (it) => it.isEnded)
    expect(await rig.text('/live/demo/manifest.mpd')).toContain('type="static"')
    const [recording] = await until('the recording', async () => {
      const answer = (await rig.api('GET', '/api/v1/recordings?liveId=demo')) as {
        recordings: { id: string; durationMs: number }[]
      }
      return answer.recordings.length > 0 && answer.recordings
    })
    expect(recording!.durationMs).toBeGreaterThan(1_750)
    const replay = (await playlist(rig, `/replay/${recording!.id}/400p.m3u8`))!
    expect(replay).toMatchObject({ isVod: true, isEnded: true })
    await rig.restartTranscoder()
    expect(await rig.text('/live/demo/index.m3u8')).toBeUndefined()
    expect(await playlist(rig, `/replay/${recording!.id}/400p.m3u8`)).toEqual(replay)
    const probed = await probeMedia(`${rig.url}/replay/${recording!.id}/index.m3u8`)
    expect(probed.durationSeconds! * 1000).toBeCloseTo(recording!.durationMs, -2)
    expect(new Set(probed.streams.map((it) => it.codec))).toEqual(new Set(['h264', 'aac']))
    expect(await decode(rig, `/replay/${recording!.id}/index.m3u8`)).toBe('')
    expect(await decode(rig, `/replay/${recording!.id}/manifest.mpd`)).toBe('')
    await rig.api('DELETE', `/api/v1/recordings/${recording!.id}`)
    await until('the files are gone', async () => {
      return (await readdir(join(rig.dir, 'transcoder', 'media'))).length === 0
    })
  })

  test('leaves nothing behind when the channel is not recorded', async () => {
    await using rig = await boot()
    const key = await rig.createChannel('demo', { record: false })
    await using _encoder = await publish(rig, key)
    await playlistOf(rig, '/live/demo/400p.m3u8', (it) => it.segments.length >= 1)
    await rig.restartTranscoder()
    expect(await readdir(join(rig.dir, 'transcoder', 'media'))).toEqual([])
  })

  test('is refused after its start with a reason when its picture is too large', async () => {
    await using rig = await boot({ input: { maxWidth: 320, maxHeight: 240 } })
    const key = await rig.createChannel('demo')
    await using encoder = await publish(rig, key)
    await until('the refusal', () => /resolution-too-large/.test(encoder.output))
    expect(await encoder.exited).not.toBe(0)
  })

  test('is refused before its start when the ticket does not open this transcoder', async () => {
    await using rig = await boot()
    const key = await rig.createChannel('demo')
    const { transcoder, nonce } = await rig.grant(key)
    await using encoder = new Encoder({
      ...picture,
      server: transcoder.rtmp,
      streamKey: `${nonce}?ticket=eyJhbGciOiJIUzI1NiJ9.e30.x`,
    })
    await encoder.exited
    expect(encoder.output).toMatch(/ticket of this publish is not valid.*\(lease-lost\)/)
    expect(rig.encoders()).toEqual([])
  })

  test('cannot be taken over with its ticket, while it runs or later', async () => {
    const rig = shared
    const { transcoder, streamName } = await rig.grant(await rig.createChannel('ticket'))
    const { rtmp } = transcoder
    await using encoder = new Encoder({ ...picture, server: rtmp, streamKey: streamName })
    await playlistOf(rig, '/live/ticket/400p.m3u8', (it) => it.segments.length >= 1)
    const replay = async () => {
      await using client = await RtmpTestClient.publish(rtmp, streamName)
      expect(client.isStarted).toBe(false)
      expect(client.statuses.at(-1)?.description).toMatch(
        /ticket .* has been used.*\(lease-lost\)$/,
      )
    }
    await replay()
    const before = (await playlist(rig, '/live/ticket/400p.m3u8'))!.segments.at(-1)!.number
    await playlistOf(rig, '/live/ticket/400p.m3u8', (it) => it.segments.at(-1)!.number > before)
    await encoder.stop()
    await replay()
  })

  test('ends when the operator stops it', async () => {
    await using rig = await boot()
    const key = await rig.createChannel('demo')
    await using encoder = await publish(rig, key)
    await playlistOf(rig, '/live/demo/400p.m3u8', (it) => it.segments.length >= 1)
    expect(rig.encoders()).toHaveLength(1)
    await rig.api('DELETE', '/api/v1/streams/demo')
    await encoder.exited
    await playlistOf(rig, '/live/demo/400p.m3u8', (it) => it.isEnded)
    expect(rig.encoders()).toEqual([])
  })
})

describe.concurrent('a stream with one track', { timeout: limitMs }, () => {
  test('of picture alone is offered without sound', async () => {
    const rig = shared
    const key = await rig.createChannel('picture')
    await using _encoder = await publish(rig, key, { audio: false })
    await playlistOf(rig, '/live/picture/360p.m3u8', (it) => it.segments.length >= 2)
    const multivariant = (await rig.text('/live/picture/index.m3u8'))!
    expect(multivariant).not.toContain('AUDIO')
    expect(await rig.text('/live/picture/audio.m3u8')).toBeUndefined()
  })

  test('of sound alone is offered as sound', async () => {
    const rig = shared
    const key = await rig.createChannel('sound')
    await using _encoder = await publish(rig, key, { video: false })
    const audio = await playlistOf(rig, '/live/sound/audio.m3u8', (it) => it.segments.length >= 2)
    expect(audio.segments[0]!.durationSeconds).toBeGreaterThan(0.8)
    expect(await rig.text('/live/sound/index.m3u8')).toMatch(
      /CODECS="mp4a\.40\.2",STABLE-VARIANT-ID="audio"\naudio\.m3u8/,
    )
  })
})

test.concurrent('encodes the source when its keyframes lie too far apart to cut it, whatever happens to its ffmpeg', {
  timeout: limitMs,
}, async () => {
  await using rig = await boot()
  const key = await rig.createChannel('demo')
  await using _encoder = await publish(rig, key, { keyframeSeconds: 8 })
  await playlistOf(rig, '/live/demo/400p.m3u8', (it) => it.segments.length >= 3)
  for (const pid of rig.encoders()) process.kill(pid, 'SIGKILL')
  const source = await playlistOf(rig, '/live/demo/400p.m3u8', (it) => it.segments.length >= 6)
  for (const { durationSeconds, isGap, hasDiscontinuity } of source.segments) {
    expect(Math.abs(durationSeconds - segmentSeconds)).toBeLessThan(0.11)
    expect([isGap, hasDiscontinuity]).toEqual([false, false])
  }
  expect(source.discontinuitySequence).toBe(0)
})

test.concurrent('an encoder with keyframes too far apart that comes back is encoded from its first picture on', {
  timeout: limitMs,
}, async () => {
  const rig = shared
  const key = await rig.createChannel('rare')
  await using first = await publish(rig, key, { keyframeSeconds: 8 })
  await playlistOf(rig, '/live/rare/400p.m3u8', (it) => it.segments.length >= 1)
  await first.kill()
  await using _second = await publish(rig, key, { keyframeSeconds: 8 })
  const takeOf = ({ mapUri }: { mapUri: string }) => mapUri.split('/')[0]
  const { segments } = await playlistOf(rig, '/live/rare/400p.m3u8', (it) => {
    const last = it.segments.at(-1)
    return last !== undefined && takeOf(last) !== takeOf(it.segments[0]!) && !last.isGap
  })
  expect(segments.filter((it) => it.hasDiscontinuity)).toHaveLength(1)
  for (const { durationSeconds } of segments)
    expect(durationSeconds).toBeLessThan(segmentSeconds + 0.5)
})

test('restarts its RTMP receiver when that crashes', { timeout: limitMs }, async () => {
  const rig = shared
  const receiver = childrenOf(process.pid).find(({ command }) => command.includes('rtmp-receiver'))!
  process.kill(receiver.pid, 'SIGKILL')
  const key = await rig.createChannel('crash')
  await until('a publish that is let in', async () => {
    const encoder = await publish(rig, key)
    const first = await Promise.race([
      encoder.exited.then(() => false),
      until('a playlist', () => rig.text('/live/crash/index.m3u8')).then(() => true),
    ])
    await encoder.kill()
    return first
  })
})
