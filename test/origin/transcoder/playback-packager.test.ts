// The packager and the playback server together: what is announced of a live broadcast is there when it is asked
// for, and what is growing arrives whole.
import { expect, it } from 'vitest'
import { LiveStage } from '../../support/live-road.ts'
import {
  type Delivery,
  deliver,
  packagerRig,
  pictures,
  sounds,
  startTake,
  takePlan,
  timescaleOf,
} from '../../support/packager-rig.ts'

const take = 'abcdefgh12-1'
const soundLagSeconds = 0.3

/** Pictures with a keyframe each second, and sound that comes later. */
function* media(fromSeconds: number, seconds: number): Generator<Delivery> {
  const options = { framesPerSecond: 30, fromSeconds, seconds }
  const video = [...pictures({ ...options, isKeyframe: (index) => index % 30 === 0 })]
  const tracks = { '720p': video, audio: [...sounds(48_000, fromSeconds, seconds)] }
  const all = Object.entries(tracks).flatMap(([rendition, samples]) =>
    samples.map((sample) => ({ rendition, sample })),
  )
  const arrival = ({ rendition, sample }: Delivery) =>
    sample.dts / timescaleOf(rendition) + (rendition === 'audio' ? soundLagSeconds : 0)
  yield* all.sort((a, b) => arrival(a) - arrival(b))
}

it.each(['720p', 'audio'])('a client that follows %s by its hints misses nothing', async (name) => {
  const rig = packagerRig()
  await using stage = await LiveStage.start({ instead: rig.packager })
  const read = async (path: string) => {
    const answer = await stage.view(path)
    const { body, end } = await answer.rest()
    expect([path, answer.status, end]).toEqual([path, 200, 'clean'])
    return body
  }
  startTake(rig.packager, takePlan({ name: take }), 10)
  const incoming = media(10, 9)
  const step = () => {
    const next = incoming.next()
    if (!next.done) deliver(rig, take, [next.value])
  }
  while (!rig.packager.playlist(name)?.next?.partId) step()
  let playlist = String(await read(`${name}.m3u8`))
  const received = new Map<string, Buffer>()
  while (rig.packager.playlist(name)!.next!.number < 4) {
    const hint = /PRELOAD-HINT:TYPE=PART,URI="([^"]+)"/.exec(playlist)![1]!
    const { number } = rig.packager.playlist(name)!.next!
    const last = rig.packager.playlist(name)!.segments.at(-1)
    const part = last?.isOpen ? last.parts.length : 0
    const next = `${name}.m3u8?_HLS_msn=${last?.isOpen ? last.number : number}&_HLS_part=${part}`
    const coming = Promise.all([read(next), read(hint)])
    await stage.underWay(2)
    while (rig.packager.expectsPart(...partOf(hint)).kind === 'coming') step()
    const [text, bytes] = await coming
    playlist = String(text)
    received.set(hint, bytes)
  }
  for (const number of [2, 3]) {
    const { parts } = rig.packager.segment(take, name, number)!
    const whole = Buffer.concat(parts.map(({ id }) => received.get(`${take}/${name}/p${id}.m4s`)!))
    expect(whole.equals(await read(`${take}/${name}/${number}.m4s`))).toBe(true)
  }
})

it('sound that is behind the pictures arrives whole when its take ends', async () => {
  const rig = packagerRig()
  await using stage = await LiveStage.start({ instead: rig.packager })
  startTake(rig.packager, takePlan({ name: take }), 10)
  const incoming = media(10, 5)
  while (!rig.packager.segment(take, 'audio', 1)) deliver(rig, take, [incoming.next().value!])
  const views = [1, 2].map((number) => stage.view(`${take}/audio/${number}.m4s`))
  await stage.underWay(2)
  deliver(rig, take, incoming)
  rig.packager.endTake(take)
  for (const [index, view] of views.entries()) {
    const made = rig.committed.find(
      ({ segment }) => segment.rendition.name === 'audio' && segment.number === index + 1,
    )
    expect(await (await view).rest()).toEqual({ body: made!.bytes, end: 'clean' })
  }
})

function partOf(uri: string): [take: string, rendition: string, id: number] {
  const [takeName = '', rendition = '', file = ''] = uri.split('/')
  return [takeName, rendition, Number(/\d+/.exec(file))]
}
