import { once } from 'node:events'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { systemClock } from '../../../common/clock.ts'
import { type Refusal, refusal } from '../../../common/contract/refusal.ts'
import { silentLogger } from '../../../common/log.ts'
import { findProcessGuard } from '../../../common/process-guard.ts'
import { FlvReader } from '../../../media/flv/tag-reader.ts'
import { writeAmf0 } from '../../../media/rtmp/amf0.ts'
import type { MediaMessage } from '../../../media/rtmp/message.ts'
import {
  type PublishAttempt,
  type ReceivedStream,
  RtmpReceiver,
} from '../../../origin/transcoder/rtmp-receiver.ts'
import { fatalInput } from '../../corpus/rtmp.ts'
import { greeting, hex } from '../../media/rtmp/wire.ts'
import { isRunning } from '../../support/processes.ts'
import { RtmpTestClient } from '../../support/rtmp-client.ts'
import { until } from '../../support/until.ts'

const nonce = 'abcdefghijklmnop'
const limitMs = 30_000

let dir: string
let receiver: RtmpReceiver
let streams: ReceivedStream[]
let attempts: PublishAttempt[]
let verdict: Refusal | undefined

function create(changes: Partial<ConstructorParameters<typeof RtmpReceiver>[0]> = {}) {
  return new RtmpReceiver({
    host: '127.0.0.1',
    port: 0,
    trustedNetworks: ['127.0.0.0/8'],
    runFolder: join(dir, 'run'),
    guard,
    clock: systemClock,
    log: silentLogger,
    async decide(attempt) {
      attempts.push(attempt)
      return verdict
    },
    onStream: (stream) => streams.push(stream),
    ...changes,
  })
}

const guard = await findProcessGuard()
const server = () => `rtmp://127.0.0.1:${receiver.port}/live`
const publish = (name = `${nonce}?ticket=secret`) => RtmpTestClient.publish(server(), name)

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'nearcast-receiver-'))
  streams = []
  attempts = []
  verdict = undefined
  receiver = create()
  await receiver.start()
}, limitMs)

afterEach(async () => {
  await receiver[Symbol.asyncDispose]()
  await rm(dir, { recursive: true, force: true })
}, limitMs)

const frame = (timestampMs: number, sizeBytes: number): MediaMessage => ({
  kind: 'video',
  timestampMs,
  payload: Buffer.concat([Buffer.from([0x27, 1, 0, 0, 0]), Buffer.alloc(sizeBytes, 7)]),
})

describe('a publish', { timeout: limitMs }, () => {
  test('is decided by the parent, who sees name and ticket apart', async () => {
    await using client = await publish()
    expect(client.isStarted).toBe(true)
    expect(attempts).toMatchObject([{ name: nonce, ticket: 'secret', address: '127.0.0.1' }])
  })

  test('hands its media on as it came', async () => {
    await using client = await publish()
    const sent = [frame(0, 10), frame(40, 300_000), frame(0xff_ffff_f, 70_000)]
    for (const it of sent) client.send(it)
    await until('the stream', () => streams.length === 1)
    const reader = new FlvReader()
    const got: MediaMessage[] = []
    for await (const bytes of streams[0]!.media) {
      const read = reader.read(bytes)
      if ('value' in read) got.push(...read.value)
      if (got.length === sent.length) break
    }
    expect(got).toEqual(sent)
  })

  test('that is refused reads the reason and never starts', async () => {
    verdict = refusal('lease-lost')
    await using client = await publish()
    expect(client.isStarted).toBe(false)
    expect(client.statuses).toEqual([
      expect.objectContaining({
        level: 'error',
        code: 'NetStream.Publish.Failed',
        description: expect.stringMatching(/\(lease-lost\)$/),
      }),
    ])
    await client.closed()
    expect(streams).toEqual([])
  })

  test('that is refused after its start reads the reason, whatever letters it has', async () => {
    await using client = await publish()
    client.send(frame(0, 10))
    await until('the stream', () => streams.length === 1)
    streams[0]!.refuse(refusal('resolution-too-large', 'The picture is 9000×5000 – too large.'))
    await client.closed()
    expect(client.statuses.at(-1)).toMatchObject({
      code: 'NetStream.Publish.BadName',
      description: 'The picture is 9000×5000 – too large. (resolution-too-large)',
    })
  })

  test('that is dropped is closed at once', async () => {
    await using client = await publish()
    await until('the stream', () => streams.length === 1)
    streams[0]!.drop()
    await client.closed()
  })

  test('ends its media when its connection ends, not 30 s later', async () => {
    const client = await publish()
    client.send(frame(0, 10))
    await until('the stream', () => streams.length === 1)
    const { media } = streams[0]!
    client.socket.destroy()
    for await (const _ of media);
    expect(media.readableEnded).toBe(true)
  })

  test('is slowed down by a reader that does not read, and goes on when it does', async () => {
    await using client = await publish()
    await until('the stream', () => streams.length === 1)
    const total = 60_000_000
    const size = 60_000
    let sent = 0
    const pump = () => {
      while (sent < total) {
        sent += size
        if (!client.send(frame(sent / 1000, size))) return
      }
    }
    client.socket.on('drain', pump)
    pump()
    let before = -1
    let unchanged = 0
    // The kernel has taken what it takes, and no more comes.
    await until('the publisher to be held up', () => {
      unchanged = sent === before ? unchanged + 1 : 0
      before = sent
      return unchanged === 8 && client.socket.writableNeedDrain
    })
    expect(sent).toBeLessThan(total / 2)
    let got = 0
    streams[0]!.media.on('data', (bytes) => {
      got += bytes.length
    })
    await until('all bytes', () => got > total)
  })

  test('under the nonce of one that is still open is let in beside it', async () => {
    await using _halfOpen = await publish()
    await using again = await publish()
    expect(again.isStarted).toBe(true)
    again.send(frame(0, 10))
    await until('both streams', () => streams.length === 2)
    expect(streams[1]!.pipe).not.toBe(streams[0]!.pipe)
  })

  test('reaches its end however costly its metadata would be to read', async () => {
    await using client = await publish()
    const array = Buffer.concat([hex('0a ffffffff'), Buffer.alloc(1_000_000, 5)])
    const payload = Buffer.concat([writeAmf0('onMetaData'), array])
    client.send({ kind: 'data', timestampMs: 0, payload })
    client.send(frame(0, 10))
    await until('the stream', () => streams.length === 1)
    const reader = new FlvReader()
    const kinds: string[] = []
    for await (const bytes of streams[0]!.media) {
      const read = reader.read(bytes)
      if ('value' in read) kinds.push(...read.value.map(({ kind }) => kind))
      if (kinds.length === 2) break
    }
    expect(kinds).toEqual(['data', 'video'])
  })
})

describe('the receiver', { timeout: limitMs }, () => {
  test('ends every connection that sends hostile bytes, and its child hears nothing', async () => {
    const pid = receiver.pid!
    process.kill(pid, 'SIGSTOP')
    const open = new Set(fatalInput.map(([name]) => name))
    await Promise.all(
      fatalInput.map(async ([name, , input]) => {
        const socket = connect(receiver.port, '127.0.0.1')
        socket.on('error', () => {})
        socket.resume()
        socket.write(Buffer.concat([greeting, ...input]))
        await once(socket, 'close')
        open.delete(name)
      }),
    )
    process.kill(pid, 'SIGCONT')
    expect([...open]).toEqual([])
    expect(attempts).toEqual([])
    expect(receiver.pid).toBe(pid)
  })

  test('lives on through bytes that would end node-media-server', async () => {
    const attacks = [
      // Set chunk size without a body; a message whose type is video and whose length is zero.
      Buffer.from('02000000000000010000000003000000000000090000000003', 'hex'),
      // An invoke that is no AMF.
      Buffer.from('0300000000000414000000000aff ffffff'.replace(' ', ''), 'hex'),
    ]
    const pid = receiver.pid
    for (const attack of attacks) {
      await using client = await publish()
      client.socket.write(attack)
      client.socket.end()
      await client.closed()
    }
    await using client = await publish('ponmlkjihgfedcba?ticket=x')
    expect(client.isStarted).toBe(true)
    expect(receiver.pid).toBe(pid)
  })

  test('lets nobody in from a network that is not trusted', async () => {
    await receiver[Symbol.asyncDispose]()
    receiver = create({ trustedNetworks: ['10.0.0.0/8'] })
    await receiver.start()
    await using client = await publish()
    expect(client).toMatchObject({ isStarted: false, isClosed: true })
  })

  test('names the port that it cannot have', async () => {
    const holder = createServer().listen(0, '127.0.0.1')
    await until('a listener', () => holder.listening)
    const { port } = holder.address() as { port: number }
    const second = create({ port, runFolder: join(dir, 'other') })
    await expect(second.start()).rejects.toThrow(new RegExp(`Port ${port} .* already in use`))
    holder.close()
  })

  test('leaves no process, no socket and no file', async () => {
    const pid = receiver.pid!
    expect(await readdir(join(dir, 'run'))).toEqual(['media.sock', 'rtmp.sock'])
    await receiver[Symbol.asyncDispose]()
    expect(isRunning(pid)).toBe(false)
    expect(await readdir(dir)).toEqual([])
  })
})
