// `nearcast publish` as a child process, into an RTMP(S) server of our own.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { systemClock } from '../../common/clock.ts'
import { refusal, statusDescription } from '../../common/contract/refusal.ts'
import { LocalCa } from '../../common/local-ca/local-ca.ts'
import { childrenOf, isRunning } from '../support/processes.ts'
import { RtmpSink, type RtmpSinkOptions } from '../support/rtmp-sink.ts'
import { until } from '../support/until.ts'

const folder = mkdtempSync(path.join(tmpdir(), 'nearcast-publish-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const key = `nc_${'k'.repeat(32)}`
const keyFile = path.join(folder, 'key')
writeFileSync(keyFile, `${key}\n`)
const program = path.resolve(import.meta.dirname, '../../bin/nearcast.ts')
const small = ['--size', '160x90', '--fps', '10', '--bitrate', '100', '--keyint', '1']

class Publishing implements AsyncDisposable {
  readonly child: ChildProcess
  readonly messages: unknown[] = []
  output = ''

  constructor(args: readonly string[]) {
    this.child = spawn(process.execPath, [program, 'publish', ...args], {
      env: { PATH: process.env.PATH },
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    })
    this.child.on('message', (message) => this.messages.push(message))
    for (const stream of [this.child.stdout, this.child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => {
        this.output += text
      })
    }
  }

  async exited(): Promise<number | null> {
    if (this.child.exitCode === null && this.child.signalCode === null)
      await once(this.child, 'exit')
    return this.child.exitCode
  }

  /** Pids of the ffmpeg below us: with setpriv it is the same process. */
  ffmpegs(): number[] {
    return childrenOf(this.child.pid!)
      .filter(({ command }) => command.includes('libx264') || command.includes('-c copy'))
      .map(({ pid }) => pid)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.child.kill('SIGKILL')
    await this.exited()
  }
}

async function publishTo(sink: RtmpSink, args: readonly string[], scheme = 'rtmp') {
  const port = await sink.listen()
  return new Publishing([...args, '--to', `${scheme}://127.0.0.1:${port}/live`])
}

const hasMedia =
  (count: number, index = 0) =>
  (connections: RtmpSink['connections']) =>
    (connections[index]?.media.length ?? 0) >= count

describe.concurrent('the test picture', () => {
  test('arrives as H.264 and AAC under the key, and says ready to its parent', async () => {
    await using sink = new RtmpSink()
    await using publishing = await publishTo(sink, ['test', '--key-file', keyFile, ...small])
    await sink.until(hasMedia(20))
    const [first] = sink.connections
    expect(first).toMatchObject({ app: 'live', name: key })
    const ofKind = (kind: string) => first!.media.filter((message) => message.kind === kind)
    // FLV: frame type 1 and codec 7, packet type 0; AAC 44 kHz stereo, packet type 0.
    expect(ofKind('video')[0]?.payload.subarray(0, 2)).toEqual(Buffer.from([0x17, 0]))
    expect(ofKind('audio')[0]?.payload.subarray(0, 2)).toEqual(Buffer.from([0xaf, 0]))
    expect(ofKind('data')[0]?.payload.toString('latin1')).toContain('onMetaData')
    expect(publishing.messages).toEqual([{ type: 'ready', endpoints: {} }])
    expect(publishing.output).toMatch(/publishing to rtmp:\/\/127\.0\.0\.1:\d+\/live\n/)
    expect(publishing.output).not.toContain(key)
  })

  test.each(['SIGINT', 'SIGTERM'] as const)(
    '%s says goodbye and leaves no ffmpeg',
    async (signal) => {
      await using sink = new RtmpSink()
      await using publishing = await publishTo(sink, ['test', '--key', key, ...small])
      await sink.until(hasMedia(5))
      const ffmpegs = publishing.ffmpegs()
      expect(ffmpegs).toHaveLength(1)
      publishing.child.kill(signal)
      expect(await publishing.exited()).toBe(0)
      expect(ffmpegs.filter(isRunning)).toEqual([])
      await sink.until(([first]) => first?.unpublished === true)
    },
  )

  test('takes its ffmpeg along when it is killed', async () => {
    await using sink = new RtmpSink()
    await using publishing = await publishTo(sink, ['test', '--key', key, ...small])
    await sink.until(hasMedia(5))
    const [ffmpeg] = publishing.ffmpegs()
    publishing.child.kill('SIGKILL')
    await publishing.exited()
    await until('ffmpeg is gone', () => !isRunning(ffmpeg!))
  })

  test('ends when its parent does', async () => {
    await using sink = new RtmpSink()
    await using publishing = await publishTo(sink, ['test', '--key', key, ...small])
    await sink.until(hasMedia(5))
    publishing.child.disconnect()
    expect(await publishing.exited()).toBe(0)
  })
})

describe.concurrent('a file', () => {
  const film = path.join(folder, 'film.mp4')
  execFileSync('ffmpeg', [
    ...['-v', 'error', '-f', 'lavfi', '-i', 'testsrc2=size=160x90:rate=10:duration=1'],
    ...['-c:v', 'libx264', '-preset', 'ultrafast', '-g', '5', '-pix_fmt', 'yuv420p', '-y', film],
  ])

  test('is sent once with --no-loop, without sound if it has none', async () => {
    await using sink = new RtmpSink()
    const args = [film, '--no-loop', '--copy', '--key', key]
    await using publishing = await publishTo(sink, args)
    expect(await publishing.exited()).toBe(0)
    await sink.until(([first]) => first?.closed === true)
    const [first] = sink.connections
    expect(first?.unpublished).toBe(true)
    expect(first?.media.filter(({ kind }) => kind === 'audio')).toEqual([])
    // A sequence header, ten frames, an end of sequence.
    expect(first?.media.filter(({ kind }) => kind === 'video').length).toBeGreaterThanOrEqual(11)
  })

  test('starts again at its end, its time going on', async () => {
    await using sink = new RtmpSink()
    await using _publishing = await publishTo(sink, [film, '--copy', '--key', key])
    await sink.until(hasMedia(25))
    const times = sink.connections[0]!.media.map(({ timestampMs }) => timestampMs)
    expect(Math.max(...times)).toBeGreaterThan(1_000)
    expect(times).toEqual(times.toSorted((a, b) => a - b))
  })

  test('that is not there, or no media, fails with the reason', async () => {
    await using sink = new RtmpSink()
    await using absent = await publishTo(sink, [path.join(folder, 'nothing'), '--key', key])
    expect(await absent.exited()).toBe(1)
    expect(absent.output).toContain('no such file')
    await using other = new RtmpSink()
    await using noise = await publishTo(other, [keyFile, '--key', key])
    expect(await noise.exited()).toBe(1)
    expect(noise.output).toContain('ffmpeg failed: ')
  })
})

describe.concurrent('a server that says no', () => {
  const known = {
    code: 'NetStream.Publish.BadName',
    description: statusDescription(refusal('key-revoked')),
  }

  test('before the start is quoted, and not asked again', async () => {
    await using sink = new RtmpSink({ refuse: () => known })
    await using publishing = await publishTo(sink, ['test', '--key', key, '--reconnect', ...small])
    expect(await publishing.exited()).toBe(1)
    expect(publishing.output).toContain(
      'refused: The stream key has been revoked. Use the new key of the channel. (key-revoked)\n',
    )
    expect(sink.connections).toHaveLength(1)
    expect(publishing.messages).toEqual([])
  })

  test('after the start is quoted too, and leaves no ffmpeg', async () => {
    const status = {
      code: 'NetStream.Publish.Rejected',
      description: statusDescription(refusal('bitrate-too-high')),
    }
    await using sink = new RtmpSink({ after: { messages: 5, connection: 1, status } })
    await using publishing = await publishTo(sink, ['test', '--key', key, ...small])
    expect(await publishing.exited()).toBe(1)
    expect(publishing.output).toContain('refused: The bitrate is higher than this server accepts.')
    await until('no ffmpeg is left', () => publishing.ffmpegs().length === 0)
  })

  test('another server in its own words', async () => {
    const status = { code: 'NetStream.Publish.BadName', description: 'Sorry, taken' }
    await using sink = new RtmpSink({ refuse: () => status })
    await using publishing = await publishTo(sink, ['test', '--key', key, ...small])
    expect(await publishing.exited()).toBe(1)
    expect(publishing.output).toContain('refused: Sorry, taken')
  })
})

describe.concurrent('a connection that is lost', () => {
  const cut: RtmpSinkOptions = { after: { messages: 5, connection: 1 } }

  test('is made again with --reconnect', async () => {
    await using sink = new RtmpSink(cut)
    await using publishing = await publishTo(sink, ['test', '--key', key, '--reconnect', ...small])
    await sink.until(hasMedia(5, 1))
    expect(publishing.output).toMatch(/not connected: .*\nnext try in 2\.0 s\nconnecting to /)
    expect(publishing.messages).toHaveLength(1)
  })

  test('is the end without', async () => {
    await using sink = new RtmpSink(cut)
    await using publishing = await publishTo(sink, ['test', '--key', key, ...small])
    expect(await publishing.exited()).toBe(1)
    expect(publishing.output).toContain('not connected: ')
  })
})

describe.concurrent('RTMPS', () => {
  let tls: { cert: string; key: string }

  beforeAll(async () => {
    const ca = await LocalCa.open({ dir: path.join(folder, 'ca'), clock: systemClock })
    const { certificatePem, keyPem } = await ca.issue(['127.0.0.1'])
    tls = { cert: certificatePem, key: keyPem }
  })

  const caFile = path.join(folder, 'ca', 'ca.pem')

  test.each([[['--ca', caFile]], [['--insecure']]])('works with %j', async (trust) => {
    await using sink = new RtmpSink({ tls })
    const args = ['test', '--key', key, ...small, ...trust]
    await using publishing = await publishTo(sink, args, 'rtmps')
    await sink.until(hasMedia(5))
    expect(publishing.output).toContain('publishing to rtmps://127.0.0.1')
  })

  test('does not publish to a certificate that nobody vouches for', async () => {
    await using sink = new RtmpSink({ tls })
    await using publishing = await publishTo(sink, ['test', '--key', key, ...small], 'rtmps')
    expect(await publishing.exited()).toBe(1)
    expect(publishing.output).toContain('give the CA with --ca FILE')
    expect(sink.connections.every(({ name }) => name === '')).toBe(true)
  })
})

test.concurrent.each([
  [['test', '--key', key], 2],
  [['test', '--to', 'rtmp://127.0.0.1/live', '--fps', 'many'], 2],
  [['test', '--to', 'rtmp://127.0.0.1/live', '--size', '5'], 2],
  [['test', '--to', 'rtmp://127.0.0.1/live'], 2],
  [['test', '--to', 'http://127.0.0.1/live', '--key', key], 2],
])('publish %j exits with %i', async (args, code) => {
  await using publishing = new Publishing(args)
  expect(await publishing.exited()).toBe(code)
})
