// What the playback server answers while a broadcast is live: at once, later, or never.
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import type { PackagedSegment, PackagedTake } from '../../../common/live/live-broadcast.ts'
import { settle } from '../../support/fake-clock.ts'
import type { ViewedAnswer } from '../../support/http-viewer.ts'
import { LiveStage } from '../../support/live-road.ts'
import { videoRendition } from '../../support/segment-logs.ts'

async function jsonOf(answer: ViewedAnswer): Promise<Record<string, unknown>> {
  return JSON.parse(await answer.text())
}

/** With a take, some complete segments, and one part of the next. */
async function onAir(segments = 4): Promise<{ stage: LiveStage; take: PackagedTake }> {
  const stage = await LiveStage.start()
  const take = stage.broadcast.beginTake()
  stage.broadcast.addSegments(segments)
  stage.broadcast.addParts()
  return { stage, take }
}

describe('a manifest', () => {
  it.each(['index.m3u8', '720p.m3u8', 'manifest.mpd', 'timeline.mpd'])(
    '%s asked for before anything is listed is held until it is',
    async (path) => {
      await using stage = await LiveStage.start()
      const held = stage.view(path)
      await stage.underWay(1)
      stage.broadcast.beginTake()
      stage.broadcast.addSegments(1)
      stage.broadcast.addParts()
      const answer = await held
      expect(answer.status).toBe(200)
      expect(answer.headers['cache-control']).toBe('public, max-age=1')
      expect(await answer.text()).toMatch(/^(#EXTM3U|<\?xml)/)
    },
  )

  it('is not there yet when nothing is listed after six seconds', async () => {
    await using stage = await LiveStage.start()
    const held = stage.view('index.m3u8')
    await stage.underWay(1)
    await stage.clock.advance(6_000)
    const answer = await held
    expect(answer.status).toBe(404)
    expect(await jsonOf(answer)).toMatchObject({ error: 'not-yet' })
  })

  it('of a rendition that is not offered is not found, once it is known what is', async () => {
    const { stage } = await onAir()
    await using _ = stage
    for (const path of ['1080p.m3u8', '1080p.m3u8?_HLS_msn=5', 'audio-iframes.m3u8']) {
      const answer = await stage.view(path)
      expect(answer.status).toBe(404)
      expect(await jsonOf(answer)).toMatchObject({ error: 'rendition-unknown' })
    }
  })

  it('is made once per version', async () => {
    const { stage } = await onAir()
    await using _ = stage
    const ask = async () => await (await stage.view('manifest.mpd')).text()
    const first = await ask()
    await stage.clock.advance(500)
    expect(await ask()).toBe(first)
    stage.broadcast.addParts()
    expect(await ask()).not.toBe(first)
  })

  it('of keyframes is there', async () => {
    const { stage } = await onAir()
    await using _ = stage
    expect(await (await stage.view('720p-iframes.m3u8')).text()).toContain('I-FRAMES-ONLY')
  })
})

describe('a blocking reload', () => {
  it('is answered by the change that brings its part', async () => {
    const { stage, take } = await onAir()
    await using _ = stage
    const held = stage.view('720p.m3u8?_HLS_msn=5&_HLS_part=1')
    await stage.underWay(1)
    expect(stage.served).toEqual([])
    stage.broadcast.addPart('360p')
    const part = stage.broadcast.addPart('720p')
    expect(await (await held).text()).toContain(
      `DURATION=0.50000,URI="${take.name}/720p/p${part.id}.m4s"`,
    )
  })

  it('is answered at once for what is there', async () => {
    const { stage } = await onAir()
    await using _ = stage
    for (const query of ['_HLS_msn=1&_HLS_part=9', '_HLS_msn=4', '_HLS_msn=5&_HLS_part=0']) {
      expect((await stage.view(`720p.m3u8?${query}`)).status).toBe(200)
    }
  })

  it('leaves out what the client has where it may', async () => {
    await using stage = await LiveStage.start({ settings: { windowSegments: 20 } })
    stage.broadcast.beginTake()
    stage.broadcast.addSegments(20)
    for (const name of ['720p', '720p-iframes']) {
      const delta = await (await stage.view(`${name}.m3u8?_HLS_msn=20&_HLS_skip=v2`)).text()
      expect(delta).toContain('#EXT-X-SKIP:')
      expect(await (await stage.view(`${name}.m3u8`)).text()).not.toContain('#EXT-X-SKIP:')
    }
  })

  it('of keyframes waits for the whole segment', async () => {
    const { stage } = await onAir()
    await using _ = stage
    const held = stage.view('720p-iframes.m3u8?_HLS_msn=5&_HLS_part=0')
    await stage.underWay(1)
    stage.broadcast.addParts(3)
    await settle()
    expect(stage.served).toEqual([])
    stage.broadcast.closeSegments()
    expect(await (await held).text()).toContain('/5.m4s')
  })

  it.each([
    ['_HLS_part=1', 'directive-malformed'],
    ['_HLS_msn=x', 'directive-malformed'],
    ['_HLS_skip=NO', 'directive-malformed'],
    ['_HLS_msn=7', 'too-far'],
    ['_HLS_msn=5&_HLS_part=40', 'too-far'],
  ])('by %s is refused with 400: %s', async (query, error) => {
    const { stage } = await onAir()
    await using _ = stage
    const answer = await stage.view(`720p.m3u8?${query}`)
    expect(answer.status).toBe(400)
    expect(await jsonOf(answer)).toMatchObject({ error })
  })

  it('that is not met within three target durations is 503', async () => {
    const { stage } = await onAir()
    await using _ = stage
    const held = stage.view('720p.m3u8?_HLS_msn=6')
    await stage.underWay(1)
    await stage.clock.advance(12_000)
    const answer = await held
    expect([answer.status, answer.headers['cache-control']]).toEqual([503, 'no-store'])
    expect(await jsonOf(answer)).toMatchObject({ error: 'overdue' })
  })

  it('is answered by the end, and never held after it', async () => {
    const { stage } = await onAir()
    await using _ = stage
    const held = stage.view('720p.m3u8?_HLS_msn=6')
    await stage.underWay(1)
    stage.broadcast.end()
    expect(await (await held).text()).toContain('#EXT-X-ENDLIST')
    const late = await stage.view('720p.m3u8?_HLS_msn=900')
    expect([late.status, await late.text()]).toEqual([200, expect.stringContaining('ENDLIST')])
  })
})

describe('a part', () => {
  it('is its bytes, for ever', async () => {
    const { stage, take } = await onAir()
    await using _ = stage
    const answer = await stage.view(`${take.name}/720p/p1.m4s`)
    expect(answer.headers).toMatchObject({
      'content-type': 'video/iso.segment',
      'cache-control': 'public, max-age=31536000, immutable',
    })
    expect(await answer.text()).toBe(`${take.name}/720p part 1;`)
  })

  it('that comes next is held until it is whole', async () => {
    const { stage, take } = await onAir()
    await using _ = stage
    const { partId } = stage.broadcast.playlist('audio')!.next!
    const held = stage.view(`${take.name}/audio/p${partId}.m4s`)
    await stage.underWay(1)
    stage.broadcast.addPart('720p')
    const part = stage.broadcast.addPart('audio')
    expect((await (await held).rest()).body).toEqual(part.bytes)
  })

  it.each(['p999.m4s', 'p0.m4s'])('that never comes is 404: %s', async (name) => {
    const { stage, take } = await onAir()
    await using _ = stage
    expect((await stage.view(`${take.name}/720p/${name}`)).status).toBe(404)
    expect((await stage.view(`${take.name}/999p/p1.m4s`)).status).toBe(404)
    expect((await stage.view(`zzzzzzzz-1/720p/p1.m4s`)).status).toBe(404)
  })

  it('that turns out to be a gap is 404', async () => {
    const { stage, take } = await onAir()
    await using _ = stage
    const { partId } = stage.broadcast.playlist('720p')!.next!
    const held = stage.view(`${take.name}/720p/p${partId}.m4s`)
    await stage.underWay(1)
    stage.broadcast.addPart('720p', { isGap: true })
    expect((await held).status).toBe(404)
  })
})

it('does not give what another transcoder has made', async () => {
  const { stage, take } = await onAir()
  await using _ = stage
  stage.broadcast.closeSegments()
  const made = stage.broadcast.addPart('720p', { elsewhereBytes: 700 })
  const next = stage.broadcast.addPart('720p')
  const { number } = stage.broadcast.playlist('720p')!.segments.at(-1)!
  expect((await stage.view(`${take.name}/720p/p${made.id}.m4s`)).status).toBe(404)
  expect((await stage.view(`${take.name}/720p/${number}.m4s`)).status).toBe(404)
  expect((await (await stage.view(`${take.name}/720p/p${next.id}.m4s`)).rest()).body).toEqual(
    next.bytes,
  )
})

describe('a segment', () => {
  it('that is closed has its length, and as bytes those of its parts', async () => {
    const { stage, take } = await onAir()
    await using _ = stage
    const bytes = Buffer.concat(
      stage.broadcast.segment(take.name, '720p', 2)!.parts.map((part) => part.bytes),
    )
    const answer = await stage.view(`${take.name}/720p/2.m4s`)
    expect(answer.headers['content-length']).toBe(String(bytes.length))
    expect((await answer.rest()).body).toEqual(bytes)
    const head = await stage.view(`${take.name}/720p/2.m4s`, { method: 'HEAD' })
    expect(head.headers['content-length']).toBe(String(bytes.length))
    expect(await head.text()).toBe('')
    expect(stage.served).toEqual([`segment 200 ${bytes.length}`, 'segment 200 0'])
  })

  it('that is open is one chunk per part, and ends when it is closed', async () => {
    const { stage, take } = await onAir()
    await using _ = stage
    const { broadcast } = stage
    const socket = connect(stage.server.port, '127.0.0.1').setEncoding('latin1')
    let received = ''
    const seen = async (text: string) => {
      while (!received.includes(text)) received += (await once(socket, 'data'))[0]
    }
    socket.write(`GET /live/demo/${take.name}/720p/5.m4s HTTP/1.1\r\nhost: a\r\n\r\n`)
    await seen('part 17;\r\n')
    broadcast.addPart('720p', { bytes: Buffer.alloc(100_000, 'x') })
    await seen('x\r\n')
    broadcast.addPart('720p', { isGap: true })
    broadcast.addPart('720p', { bytes: Buffer.from('one') })
    await seen('one\r\n')
    broadcast.addPart('720p', { bytes: Buffer.from('two') })
    await seen('two\r\n')
    broadcast.closeSegments()
    await seen('\r\n0\r\n\r\n')
    socket.destroy()
    const [head, body] = received.split(/\r\n\r\n/, 2)
    expect(head).toContain('Transfer-Encoding: chunked')
    expect(head).toContain('immutable')
    const sizes = body!.split('\r\n').filter((_line, index) => index % 2 === 0)
    const first = `${take.name}/720p part 17;`.length
    expect(sizes.map((size) => Number.parseInt(size, 16))).toEqual([first, 100_000, 3, 3, 0])
  })

  it.each([5, 6])(
    'number %i after those that are complete is held until its first part',
    async (n) => {
      await using stage = await LiveStage.start()
      const take = stage.broadcast.beginTake()
      stage.broadcast.addSegments(4)
      const held = stage.view(`${take.name}/720p/${n}.m4s`)
      await stage.underWay(1)
      while (!stage.broadcast.segment(take.name, '720p', n)) stage.broadcast.addSegments(1)
      const bytes = stage.broadcast.segment(take.name, '720p', n)!.parts.map((part) => part.bytes)
      expect((await (await held).rest()).body).toEqual(Buffer.concat(bytes))
    },
  )

  it('that is held is 404 when its take has ended: a part at once, a segment when another take plays', async () => {
    const { stage, take } = await onAir()
    await using _ = stage
    const { broadcast } = stage
    const part = stage.view(`${take.name}/720p/p18.m4s`)
    const segment = stage.view(`${take.name}/720p/6.m4s`)
    await stage.underWay(2)
    broadcast.endTake()
    expect([(await part).status, (await part).headers['cache-control']]).toEqual([404, 'max-age=0'])
    expect(stage.server.underWay).toBe(1)
    broadcast.beginTake()
    broadcast.addParts(2)
    expect(stage.server.underWay).toBe(1)
    broadcast.closeSegments()
    expect((await segment).status).toBe(404)
  })

  it.each(['17.m4s', '0.m4s'])('that never comes is 404: %s', async (name) => {
    const { stage, take } = await onAir()
    await using _ = stage
    expect((await stage.view(`${take.name}/720p/${name}`)).status).toBe(404)
  })

  it('that is a gap is 404', async () => {
    await using stage = await LiveStage.start()
    const take = stage.broadcast.beginTake()
    stage.broadcast.addGap('720p')
    expect((await stage.view(`${take.name}/720p/1.m4s`)).status).toBe(404)
  })

  it('goes on after its take has ended, until its rendition is through', async () => {
    const { stage, take } = await onAir()
    await using _ = stage
    const { broadcast } = stage
    const answer = await stage.view(`${take.name}/audio/5.m4s`)
    await answer.bytes(10)
    // As when the leader has ended and the sound still comes.
    broadcast.change(() => {
      take.endSeconds = 20
    })
    await settle()
    take.endSeconds = undefined
    broadcast.addParts(3)
    broadcast.endTake()
    const bytes = broadcast.segment(take.name, 'audio', 5)!.parts.map((part) => part.bytes)
    expect(await answer.rest()).toEqual({ body: Buffer.concat(bytes), end: 'clean' })
  })

  it('that is still open at the end breaks off', async () => {
    const { stage, take } = await onAir()
    await using _ = stage
    const { broadcast } = stage
    const answer = await stage.view(`${take.name}/audio/5.m4s`)
    await answer.bytes(10)
    broadcast.change(() => {
      broadcast.end()
      ;(broadcast.segment(take.name, 'audio', 5) as PackagedSegment).isOpen = true
    })
    expect((await answer.rest()).end).toBe('broken')
  })

  it('whose next part does not come in time breaks off', async () => {
    const { stage, take } = await onAir()
    await using _ = stage
    const answer = await stage.view(`${take.name}/720p/5.m4s`)
    await answer.bytes(10)
    await stage.clock.advance(12_000)
    expect((await answer.rest()).end).toBe('broken')
  })

  it('goes on when one of its readers leaves', async () => {
    const { stage, take } = await onAir()
    await using _ = stage
    const [stays, leaves] = await Promise.all([
      stage.view(`${take.name}/720p/5.m4s`),
      stage.view(`${take.name}/720p/5.m4s`),
    ])
    await leaves.bytes(10)
    leaves.leave()
    await stage.underWay(1)
    stage.broadcast.addSegments(1)
    const bytes = stage.broadcast.segment(take.name, '720p', 5)!.parts.map((part) => part.bytes)
    expect(await stays.rest()).toEqual({ body: Buffer.concat(bytes), end: 'clean' })
  })

  it('comes from disk once it has left memory, also to a reader in the middle of it', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'nearcast-playback-'))
    const parts = [1, 2, 3, 4].map((n) => Buffer.alloc(8_000_000, n))
    const path = join(dir, '1.m4s')
    await writeFile(path, Buffer.concat(parts))
    const file = (_take: string, rendition: string, name: string) =>
      rendition === '720p' && name === '1.m4s' ? path : undefined
    await using stage = await LiveStage.start({ file, keptSegments: 2 })
    const { broadcast } = stage
    const take = broadcast.beginTake({ renditions: [videoRendition(720)] })
    for (const bytes of parts) broadcast.addPart('720p', { bytes })
    const slow = await stage.view(`${take.name}/720p/1.m4s`, { isPaused: true })
    broadcast.closeSegments()
    broadcast.addSegments(3)
    expect(broadcast.segment(take.name, '720p', 1)).toBeUndefined()
    slow.resume()
    const { body, end } = await slow.rest()
    expect([body.equals(Buffer.concat(parts)), end]).toEqual([true, 'clean'])
    const late = await stage.view(`${take.name}/720p/1.m4s`)
    expect(late.headers['content-length']).toBe('32000000')
    expect((await late.rest()).body.equals(body)).toBe(true)
    expect((await stage.view(`${take.name}/720p/2.m4s`)).status).toBe(404)
    await rm(dir, { recursive: true })
  })
})

it('gives the init section of each rendition of a take', async () => {
  const { stage, take } = await onAir()
  await using _ = stage
  const answer = await stage.view(`${take.name}/audio/init.mp4`)
  expect(answer.headers['cache-control']).toContain('immutable')
  expect(await answer.text()).toBe(`${take.name}/audio init;`)
  expect((await stage.view(`${take.name}/999p/init.mp4`)).status).toBe(404)
})

it('forgets a wait whose client has left', async () => {
  const { stage } = await onAir()
  await using _ = stage
  const leaving = new AbortController()
  const held = stage.view('720p.m3u8?_HLS_msn=6', { signal: leaving.signal })
  await stage.underWay(1)
  leaving.abort()
  await expect(held).rejects.toThrow()
  await stage.underWay(0)
})

it('ends what is held, and breaks off what is open, of a broadcast that is let go', async () => {
  const { stage, take } = await onAir()
  await using _ = stage
  const held = stage.view('720p.m3u8?_HLS_msn=6')
  const open = await stage.view(`${take.name}/720p/5.m4s`)
  await open.bytes(10)
  await stage.underWay(2)
  stage.server.letGo(stage.broadcast)
  const answer = await held
  expect(answer.status).toBe(503)
  expect(await jsonOf(answer)).toMatchObject({ error: 'stopping' })
  expect((await open.rest()).end).toBe('broken')
})

it('ends what is held, and breaks off what is open, when it is stopped', async () => {
  const { stage, take } = await onAir()
  const held = stage.view('720p.m3u8?_HLS_msn=6')
  const open = await stage.view(`${take.name}/720p/5.m4s`)
  await open.bytes(10)
  await stage.underWay(2)
  const stopped = stage[Symbol.asyncDispose]()
  const answer = await held
  expect([answer.status, answer.headers.connection]).toEqual([503, 'close'])
  expect((await open.rest()).end).toBe('broken')
  await stopped
  await expect(stage.view('720p.m3u8')).rejects.toThrow()
})
