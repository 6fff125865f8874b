// The live edge through both caches: what a transcoder holds back and what is still growing there.
import { describe, expect, it } from 'vitest'
import { turnFor } from '../../support/fake-clock.ts'
import { protocols } from '../../support/http-viewer.ts'
import { LiveRoad } from '../../support/live-road.ts'

async function onAir(): Promise<{ road: LiveRoad; take: string }> {
  const road = await LiveRoad.start()
  const { name } = road.broadcast.beginTake()
  road.broadcast.addSegments(4)
  road.broadcast.addParts()
  return { road, take: name }
}

describe.each(protocols)('to viewers over %s', (protocol) => {
  it('a blocking reload is answered with the change, asked once by each cache for all, after a first look', async () => {
    const { road, take } = await onAir()
    await using _ = road
    const path = '720p.m3u8?_HLS_msn=5&_HLS_part=1'
    const held = Array.from({ length: 20 }, () => road.view(protocol, path))
    await road.edge.followers(20)
    // The change, and the part that is to come with it.
    await road.stage.underWay(2)
    const part = road.broadcast.addPart('720p')
    for (const view of held) {
      const answer = await view
      expect(answer.status).toBe(200)
      expect(await answer.text()).toContain(`URI="${take}/720p/p${part.id}.m4s"`)
    }
    expect(road.stage.served.filter((it) => it.startsWith('playlist 200'))).toHaveLength(2)
  })

  it('the part that comes next is held, then whole', async () => {
    const { road, take } = await onAir()
    await using _ = road
    const { partId } = road.broadcast.playlist('720p')!.next!
    const held = Array.from({ length: 5 }, () => road.view(protocol, `${take}/720p/p${partId}.m4s`))
    await road.edge.followers(5)
    await road.stage.underWay(1)
    const { bytes } = road.broadcast.addPart('720p', { bytes: Buffer.alloc(300_000, 'p') })
    for (const view of held) {
      const answer = await view
      expect(answer.headers['content-length']).toBe(String(bytes.length))
      const { body, end } = await answer.rest()
      expect([body.equals(bytes), end]).toEqual([true, 'clean'])
    }
    expect(road.stage.served).toEqual([`part 200 ${bytes.length}`])
  })

  it('an open segment arrives part by part, long before it is closed', async () => {
    const { road, take } = await onAir()
    await using _ = road
    const path = `${take}/720p/6.m4s`
    const held = road.view(protocol, path)
    await road.stage.underWay(1)
    road.broadcast.addParts(3)
    road.broadcast.closeSegments()
    const parts = [road.broadcast.addPart('720p')]
    const early = await held
    let length = 0
    for (const bytes of [50_000, 1, 200_000]) {
      length += parts.at(-1)!.bytes.length
      expect((await early.bytes(length)).length).toBe(length)
      parts.push(road.broadcast.addPart('720p', { bytes: Buffer.alloc(bytes, 'q') }))
    }
    const late = await road.view(protocol, path)
    const whole = Buffer.concat(parts.map((part) => part.bytes))
    expect((await late.bytes(whole.length)).length).toBe(whole.length)
    road.broadcast.closeSegments()
    for (const view of [early, late]) {
      const { body, end } = await view.rest()
      expect([body.equals(whole), end]).toEqual([true, 'clean'])
    }
    expect(road.stage.served).toEqual([`segment 200 ${whole.length}`])
  })

  it('an open segment goes on when a reader leaves', async () => {
    const { road, take } = await onAir()
    await using _ = road
    const path = `${take}/audio/5.m4s`
    const leaves = await road.view(protocol, path)
    const stays = await road.view(protocol, path)
    await leaves.bytes(5)
    leaves.leave()
    await road.edge.followers(1)
    road.broadcast.addPart('audio')
    road.broadcast.closeSegments()
    const parts = road.broadcast.segment(take, 'audio', 5)!.parts
    const whole = Buffer.concat(parts.map((part) => part.bytes))
    expect(await stays.rest()).toEqual({ body: whole, end: 'clean' })
    expect(road.stage.served).toHaveLength(1)
  })

  it('those who wait for more of a take that has ended get a 404 when another one plays', async () => {
    const { road, take } = await onAir()
    await using _ = road
    const held = road.view(protocol, `${take}/720p/6.m4s`)
    await road.stage.underWay(1)
    road.broadcast.endTake()
    road.broadcast.beginTake()
    road.broadcast.addSegments(1)
    expect((await held).status).toBe(404)
  })

  it('a transcoder that stops is a 503 to those who wait, and a break in what was growing', async () => {
    const { road, take } = await onAir()
    await using _ = road
    const held = road.view(protocol, '720p.m3u8?_HLS_msn=6')
    const open = await road.view(protocol, `${take}/720p/5.m4s`)
    await open.bytes(10)
    // Held: the change, and the part that is to come with it.
    await road.stage.underWay(3)
    const stopped = road.stage[Symbol.asyncDispose]()
    const { clock } = road.stage
    expect((await turnFor(clock, held)).status).toBe(503)
    expect((await turnFor(clock, open.rest())).end).toBe('broken')
    await stopped
  })
})

it('nothing that a playlist names or hints is ever missing', async () => {
  const { road } = await onAir()
  await using _ = road
  const { broadcast } = road
  const read = async (path: string) => {
    const answer = await road.view('h1', path)
    const { body, end } = await answer.rest()
    expect([path, answer.status, end]).toEqual([path, 200, 'clean'])
    return body.toString()
  }
  let playlist = await read('720p.m3u8')
  for (let round = 0; round < 12; round++) {
    const hint = hintOf(playlist)
    const { number, isOpen, parts } = broadcast.playlist('720p')!.segments.at(-1)!
    const isLast = parts.length === 4
    const position = isLast || !isOpen ? [number + 1, 0] : [number, parts.length]
    const coming = Promise.all([
      read(`720p.m3u8?_HLS_msn=${position[0]}&_HLS_part=${position[1]}`),
      read(hint),
    ])
    await road.stage.underWay(2)
    broadcast.change(() => {
      if (isLast) broadcast.closeSegments()
      broadcast.addParts()
    })
    playlist = (await coming)[0]
    const named = playlist.match(/[\w-]+\/720p\/[^"\s]+\.(?:m4s|mp4)/g)!
    expect(named).toContain(hint)
    await Promise.all(named.filter((uri) => uri !== hintOf(playlist)).map(read))
  }
})

function hintOf(playlist: string): string {
  return /PRELOAD-HINT:TYPE=PART,URI="([^"]+)"/.exec(playlist)![1]!
}
