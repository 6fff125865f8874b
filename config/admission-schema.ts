// Settings of who is let in, and how much of a POP an address or a key may take.
import { z } from 'zod'
import { isHostEntry } from '../common/net/host-list.ts'
import { cidrs } from './schema-values.ts'

export const hosts = z
  .array(
    z.string().refine(isHostEntry, 'Expected a name such as pop-1.example.com or *.example.com'),
  )
  .default([])
  .describe('Host names that HTTP requests may be for, *.example.com among them; empty: any')

export const admission = z
  .strictObject({
    exempt: cidrs
      .default(['127.0.0.0/8', '::1/128'])
      .describe('Limits per address do not apply to these'),
    address: z
      .strictObject({
        connections: z.int().positive().default(1_000).describe('Connections at once'),
        handshakesPerSecond: z
          .number()
          .positive()
          .default(50)
          .describe('New connections a second, after a burst of four times as many'),
        requestsPerSecond: z
          .number()
          .positive()
          .default(500)
          .describe('HTTP requests a second, after a burst of twice as many'),
        viewerBitsPerSecond: z
          .number()
          .positive()
          .optional()
          .describe(
            'Sent to its viewers, after ten seconds of it at once; above it requests are answered 503',
          ),
        streams: z.int().positive().default(50).describe('Publishers at once'),
        bitsPerSecond: z
          .number()
          .positive()
          .default(1_000_000_000)
          .describe('Published together; above it no publisher is taken in addition'),
      })
      .prefault({})
      .describe('For one IPv4 address, or one IPv6 /64'),
    key: z
      .strictObject({
        streams: z.int().positive().default(4).describe('Publishers at once, takeovers among them'),
        publishesPerSecond: z
          .number()
          .positive()
          .default(1)
          .describe('Tries a second, after a burst of ten'),
        bitsPerSecond: z
          .number()
          .positive()
          .default(100_000_000)
          .describe('A stream above it for ten seconds is ended'),
      })
      .prefault({})
      .describe('For one stream key'),
    node: z
      .strictObject({
        handshakesPerSecond: z
          .number()
          .positive()
          .default(1_000)
          .describe('New connections a second; more wait up to five seconds'),
        streams: z.int().positive().default(2_000).describe('Publishers at once'),
        bitsPerSecond: z
          .number()
          .positive()
          .default(10_000_000_000)
          .describe('Published together; above it no publisher is taken in addition'),
      })
      .prefault({})
      .describe('For this node as a whole'),
    guessing: z
      .strictObject({
        failuresPerMinute: z
          .int()
          .positive()
          .default(10)
          .describe('Wrong keys of an address; from half of them on answers come later'),
        banMs: z.int().positive().default(600_000).describe('An address is banned for so long'),
      })
      .prefault({})
      .describe('What becomes of those who try stream keys'),
  })
  .prefault({})
  .describe('How much of this POP an address or a key may take')
