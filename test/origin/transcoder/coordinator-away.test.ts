// A transcoder that the coordinator cannot be reached from, by the sockets that both really have: publishes that it lets
// in meanwhile, and what the coordinator makes of them.
import { randomBytes } from 'node:crypto'
import { expect, test } from 'vitest'
import { createClusterAuth } from '../../../common/cluster/cluster-auth.ts'
import type { PublishGrant } from '../../../common/contract/placement.ts'
import { standInPath } from '../../../common/contract/stand-in.ts'
import { digestOf } from '../../../coordinator/stream-key.ts'
import { clip, play } from '../../support/publisher-clips.ts'
import { RtmpTestClient } from '../../support/rtmp-client.ts'
import { TcpProxy } from '../../support/tcp-proxy.ts'
import { TranscoderRig } from '../../support/transcoder-rig.ts'
import { until } from '../../support/until.ts'

interface Broadcast {
  id: string
  endReason: string | null
  takes: number
}

const name = () => randomBytes(16).toString('base64url')

/** As a gateway does that has found the key among the known ones. */
async function letIn(rig: TranscoderRig, streamKey: string, epoch: number) {
  const { secret } = rig.transcoderSettings.cluster as { secret: string }
  const token = await createClusterAuth(secret).issueNodeToken('gw-1', 'gateway')
  const nonce = name()
  const answer = await fetch(rig.url + standInPath, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}` },
    body: JSON.stringify({
      ...{ keyDigest: digestOf(streamKey), gateway: 'gw-1', pop: null, nonce, attempt: 1 },
      ...{ clientAddress: '127.0.0.1', connection: name(), liveId: 'demo', epoch, record: false },
    }),
  })
  expect(answer.status).toBe(200)
  const grant = (await answer.json()) as PublishGrant
  return { ...grant, streamName: `${nonce}?ticket=${grant.ticket}` }
}

const publish = ({
  transcoder,
  streamName,
}: {
  transcoder: { rtmp: string }
  streamName: string
}) => RtmpTestClient.publish(transcoder.rtmp, streamName)

/** The transcoder reaches the coordinator by the proxy alone. */
async function cutOffable(holdMs: number) {
  const rig = await TranscoderRig.start({ transcoder: { holdMs } })
  const { port } = new URL(rig.coordinatorUrl)
  const proxy = await TcpProxy.start({ host: '127.0.0.1', port: Number(port) })
  const cluster = rig.transcoderSettings.cluster as object
  rig.transcoderSettings.cluster = { ...cluster, coordinator: `http://127.0.0.1:${proxy.port}` }
  await rig.restartTranscoder()
  const cutOff = () => {
    proxy.obey({ kind: 'refuse' })
    proxy.reset()
  }
  return { rig, proxy, cutOff }
}

test.concurrent('broadcasts that began and ended unheard are told in order, and one that runs is taken over in its take', async () => {
  const { cutOff, ...parts } = await cutOffable(500)
  await using rig = parts.rig
  await using proxy = parts.proxy
  const key = await rig.createChannel('demo', { record: false })
  const broadcasts = async () =>
    ((await rig.api('GET', '/api/v1/broadcasts')) as { broadcasts: Broadcast[] }).broadcasts
  const media = await clip({ seconds: 3 })

  const known = await rig.grant(key)
  await using first = await publish(known)
  expect(first.isStarted).toBe(true)
  cutOff()
  await play(first, media)
  await first.leave()
  const second = await until('a broadcast after the first one', async () => {
    const grant = await letIn(rig, key, known.epoch)
    return grant.broadcastId !== known.broadcastId && grant
  })
  expect(second.epoch).toBe(known.epoch + 1)
  await using secondClient = await publish(second)
  await play(secondClient, media)
  await secondClient.leave()
  const third = await until('a broadcast after the second one', async () => {
    const grant = await letIn(rig, key, known.epoch)
    return grant.broadcastId !== second.broadcastId && grant
  })
  expect(third.epoch).toBe(known.epoch + 2)
  await using thirdClient = await publish(third)
  expect(thirdClient.isStarted).toBe(true)
  const playing = play(thirdClient, await clip({ seconds: 8 }))
  const takes = async () => (await rig.text('/live/demo/index.m3u8')) && (await takesListed(rig))
  const before = await until('a take', takes)

  proxy.obey({ kind: 'pass' })
  await until('the third to be known', async () => {
    return (await broadcasts()).some(({ id, endReason }) => id === third.broadcastId && !endReason)
  })
  const told = await broadcasts()
  const ends = new Map(told.map(({ id, endReason }) => [id, endReason]))
  expect(ends.get(known.broadcastId)).toBe('publisher-left')
  expect(ends.get(second.broadcastId)).toBe('publisher-left')
  expect(told.every((it) => it.takes <= 1)).toBe(true)
  expect(await takesListed(rig)).toEqual(before)
  expect(thirdClient.isClosed).toBe(false)
  // A ticket of what is over opens nothing.
  const late = await publish({ ...second, streamName: known.streamName })
  expect(late.isStarted).toBe(false)
  await late[Symbol.asyncDispose]()
  await playing
  expect(await takesListed(rig)).toEqual(before)
}, 60_000)

test.concurrent('whoever came by a key that is not good any more is told so, and the broadcast waits for another', async () => {
  const { cutOff, ...parts } = await cutOffable(30_000)
  await using rig = parts.rig
  await using proxy = parts.proxy
  const key = await rig.createChannel('demo', { record: false })
  const keys = '/api/v1/channels/demo/keys'
  const other = (await rig.api('POST', keys, {})) as { id: string; streamKey: string }
  const media = await clip({ seconds: 2 })
  const known = await rig.grant(key)
  await using first = await publish(known)
  await play(first, media)

  cutOff()
  const granted = await letIn(rig, other.streamKey, known.epoch)
  expect([granted.broadcastId, granted.epoch]).toEqual([known.broadcastId, known.epoch])
  await using second = await publish(granted)
  await play(second, media)
  await first.closed()
  expect(first.statuses.at(-1)?.description).toMatch(/\(already-publishing\)$/)
  await rig.api('POST', `${keys}/${other.id}/revoke`)
  proxy.obey({ kind: 'pass' })
  await second.closed()
  expect(second.statuses.at(-1)?.description).toMatch(/\(key-revoked\)$/)

  const again = await rig.grant(key)
  expect([again.broadcastId, again.epoch]).toEqual([known.broadcastId, known.epoch])
  await using third = await publish(again)
  expect(third.isStarted).toBe(true)
}, 60_000)

/** Names of the takes in the playlist of the sound. */
async function takesListed(rig: TranscoderRig): Promise<string[] | undefined> {
  const text = await rig.text('/live/demo/audio.m3u8')
  const found = new Set(text?.matchAll(/([a-z0-9]+-\d+)\/audio\/\d+\.m4s/g).map(([, it]) => it!))
  return found.size > 0 ? [...found] : undefined
}
