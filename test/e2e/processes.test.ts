// Whatever happens to a process of the cluster, nothing is left behind.
import { describe, expect, test } from 'vitest'
import { Cluster } from '../support/cluster.ts'
import { Encoder } from '../support/encoder.ts'
import { descendantsOf, isRunning, processesMentioning } from '../support/processes.ts'
import { until } from '../support/until.ts'

const roles = ['edges', 'gateways', 'transcoders', 'coordinator'] as const

function pidOf(cluster: Cluster, role: (typeof roles)[number]): number {
  const { facts } = cluster
  return role === 'coordinator' ? facts.coordinator.pid : facts[role][0]!.pid
}

async function startLive(): Promise<{ cluster: Cluster; encoder: Encoder }> {
  const cluster = await Cluster.start()
  const { edges, channels } = cluster.facts
  const { streamKey } = channels[0]!
  const encoder = new Encoder({ server: edges[0]!.rtmps, streamKey, size: '640x480' })
  await until('a playable playlist', async () => {
    return (await fetch(`${edges[0]!.http}/live/demo/index.m3u8`)).ok
  })
  return { cluster, encoder }
}

describe.each(['SIGTERM', 'SIGKILL'] as const)('%s', (signal) => {
  test.each(roles)('to %s leaves none of its children', async (role) => {
    const { cluster, encoder } = await startLive()
    await using _encoder = encoder
    await using _cluster = cluster
    const pid = pidOf(cluster, role)
    const children = descendantsOf(pid).map((child) => child.pid)
    if (role === 'transcoders') expect(children.length).toBeGreaterThanOrEqual(2)
    process.kill(pid, signal)
    await until('the process and its children to be gone', () =>
      [pid, ...children].every((one) => !isRunning(one)),
    )
    // What was killed comes back; what was told to stop stays down.
    if (signal === 'SIGKILL') await until('a new process', () => pidOf(cluster, role) !== pid)
    else await until('a word of it', () => cluster.output.includes('was stopped and stays down'))
  })
})

test('up killed by SIGKILL takes every role and every ffmpeg with it', async () => {
  const { cluster, encoder } = await startLive()
  await encoder.kill()
  await cluster.signal('SIGKILL')
  expect(await processesMentioning(cluster.dir)).toEqual([])
  await cluster[Symbol.asyncDispose]()
})

test('up stopped by SIGINT leaves with 0 and nothing behind', async () => {
  const { cluster, encoder } = await startLive()
  await using _encoder = encoder
  expect(await cluster.signal('SIGINT')).toBe(0)
  expect(await processesMentioning(cluster.dir)).toEqual([])
  await cluster[Symbol.asyncDispose]()
})
