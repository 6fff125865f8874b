// The settings of the caches of edge and gateway.
import { z } from 'zod'

const bounds = {
  memoryBytes: z
    .int()
    .positive()
    .default(512 * 1024 * 1024)
    .describe('Finished objects kept in memory'),
  maxObjectBytes: z
    .int()
    .positive()
    .default(64 * 1024 * 1024)
    .describe('A larger object is passed on and not kept'),
}
const about = 'Cache of playlists and segments'
const peerUrl = z.url({ protocol: /^https?$/ }).meta({ examples: ['http://10.0.0.1'] })

export const edgeCache = z
  .strictObject({
    ...bounds,
    maxWaiters: z
      .int()
      .positive()
      .default(20_000)
      .describe('Viewers that may wait for what is being fetched; more get a 503 with Retry-After'),
    peers: z
      .array(peerUrl)
      .default([])
      .describe('Base URLs of the edges of this POP that share segments; the same list on each'),
    self: peerUrl.optional().describe('Which of them is this edge'),
  })
  .refine(({ peers, self }) => peers.length === 0 || self !== undefined, {
    path: ['self'],
    message: 'is needed where there are peers: the base URL by which they reach this edge',
  })
  .prefault({})
  .describe(about)

export const gatewayCache = z.strictObject(bounds).prefault({}).describe(about)
