// Whatever happens to a process of the cluster, nothing is left behind.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Cluster } from '../support/cluster.ts'
import { Encoder } from '../support/encoder.ts'
import { descendantsOf, isRunning, processesMentioning } from '../support/processes.ts'
import { until } from '../support/until.ts'

/** The transcoder first: the others' absence would end what it encodes. */
const roles = ['transcoders', 'gateways', 'edges', 'coordinator'] as const

function nodeOf(cluster: Cluster, role: (typeof roles)[number]): { id: string; pid: number } {
  const { facts } = cluster
  return role === 'coordinator' ? { id: 'coordinator', ...facts.coordinator } : facts[role][0]!
}

async function publish(cluster: Cluster): Promise<Encoder> {
  const { edges, channels } = cluster.facts
  const { streamKey } = channels[0]!
  const encoder = new Encoder({ server: edges[0]!.rtmps, streamKey, size: '640x480' })
  await until('a playable playlist', async () => {
    return (await fetch(`${edges[0]!.http}/live/demo/index.m3u8`)).ok
  })
  return encoder
}

describe.each(['SIGTERM', 'SIGKILL'] as const)('%s', (signal) => {
  let cluster: Cluster
  let encoder: Encoder

  beforeAll(async () => {
    cluster = await Cluster.start()
    encoder = await publish(cluster)
  })

  afterAll(async () => {
    await encoder?.[Symbol.asyncDispose]()
    await cluster?.[Symbol.asyncDispose]()
  })

  test.each(roles)('to %s leaves none of its children', async (role) => {
    const { id, pid } = nodeOf(cluster, role)
    const children = descendantsOf(pid).map((child) => child.pid)
    if (role === 'transcoders') expect(children.length).toBeGreaterThanOrEqual(2)
    process.kill(pid, signal)
    await until('the process and its children to be gone', () =>
      [pid, ...children].every((one) => !isRunning(one)),
    )
    // What was killed comes back; what was told to stop stays down.
    if (signal === 'SIGKILL') await until('a new process', () => nodeOf(cluster, role).pid !== pid)
    else
      await until('a word of it', () => cluster.output.includes(`${id} was stopped and stays down`))
  })
})

test.concurrent('up killed by SIGKILL takes every role and every ffmpeg with it', async () => {
  await using cluster = await Cluster.start()
  await using encoder = await publish(cluster)
  await encoder.kill()
  await cluster.signal('SIGKILL')
  expect(await processesMentioning(cluster.dir)).toEqual([])
})

test.concurrent('up stopped by SIGINT leaves with 0 and nothing behind', async () => {
  await using cluster = await Cluster.start()
  await using _encoder = await publish(cluster)
  expect(await cluster.signal('SIGINT')).toBe(0)
  expect(await processesMentioning(cluster.dir)).toEqual([])
})
