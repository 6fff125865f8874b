import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { expect, test } from 'vitest'
import type { MediaMessage } from '../../../media/rtmp/message.ts'
import { RtmpServerSession, type ServerEvent } from '../../../media/rtmp/server-session.ts'

/** A server for one publisher; resolves with what it saw when the publisher has gone. */
async function listenOnce(answer: (session: RtmpServerSession, streamId: number) => void) {
  const done = Promise.withResolvers<ServerEvent[]>()
  const server = createServer((socket) => {
    const session = new RtmpServerSession()
    const events: ServerEvent[] = []
    socket.on('data', (bytes: Buffer) => {
      for (const event of session.receive(bytes)) {
        events.push(event)
        if (event.type === 'publish') answer(session, event.streamId)
      }
      for (const out of session.takeOutput()) socket.write(out)
    })
    socket.on('error', () => {})
    socket.on('close', () => done.resolve(events))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return {
    port,
    events: done.promise,
    [Symbol.asyncDispose]: async () => {
      server.close()
      await once(server, 'close')
    },
  }
}

async function publishOneSecond(url: string): Promise<{ code: number; stderr: string }> {
  const ffmpeg = spawn(
    'ffmpeg',
    [
      ...['-hide_banner', '-nostdin', '-loglevel', 'verbose', '-threads', '1'],
      ...['-f', 'lavfi', '-i', 'testsrc2=size=320x180:rate=25:duration=1'],
      ...['-f', 'lavfi', '-i', 'sine=frequency=440:sample_rate=48000:duration=1'],
      ...['-c:v', 'libx264', '-preset', 'ultrafast', '-bf', '2', '-g', '25', '-pix_fmt', 'yuv420p'],
      ...['-c:a', 'aac', '-shortest', '-f', 'flv', url],
    ],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  )
  let stderr = ''
  ffmpeg.stderr.on('data', (bytes: Buffer) => {
    stderr += bytes.toString()
  })
  const [code] = await once(ffmpeg, 'close')
  return { code, stderr }
}

test('ffmpeg publishes a second of picture and sound', async () => {
  await using server = await listenOnce((session, streamId) => session.acceptPublish(streamId))
  const { code, stderr } = await publishOneSecond(`rtmp://127.0.0.1:${server.port}/live/nc_key?a=b`)
  const events = await server.events
  expect(stderr).not.toMatch(/Server error|Unknown/)
  expect(code).toBe(0)
  expect(events.filter((event) => event.type !== 'media')).toMatchObject([
    { type: 'connect', app: 'live' },
    { type: 'publish', streamId: 1, name: 'nc_key', query: 'a=b', kind: 'live' },
    { type: 'unpublish', streamId: 1 },
  ])
  const media: MediaMessage[] = events.flatMap((event) =>
    event.type === 'media' ? [event.message] : [],
  )
  const video = media.filter(({ kind }) => kind === 'video')
  const audio = media.filter(({ kind }) => kind === 'audio')
  // Sequence header, 25 frames, end of sequence.
  expect(video).toHaveLength(27)
  expect(audio.length).toBeGreaterThan(40)
  expect(media[0]).toMatchObject({ kind: 'data' })
  expect(media[0]!.payload.toString('latin1', 3, 13)).toBe('onMetaData')
  expect(video.at(-1)!.timestampMs).toBeGreaterThanOrEqual(900)
})

test('ffmpeg shows the reason of a refusal', async () => {
  await using server = await listenOnce((session, streamId) =>
    session.refusePublish(streamId, {
      code: 'NetStream.Publish.BadName',
      description: 'The stream key is not known. (key-unknown)',
    }),
  )
  const { code, stderr } = await publishOneSecond(`rtmp://127.0.0.1:${server.port}/live/nc_key`)
  expect(code).not.toBe(0)
  expect(stderr).toContain('The stream key is not known. (key-unknown)')
})
