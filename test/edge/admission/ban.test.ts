// A ban at the ports of a POP: connections of the banned address are closed before TLS, those of others are not.
import { once } from 'node:events'
import { connect as connectTcp } from 'node:net'
import { connect as connectTls, type TLSSocket } from 'node:tls'
import { expect, test } from 'vitest'
import { systemClock } from '../../../common/clock.ts'
import { refusal } from '../../../common/contract/refusal.ts'
import { silentLogger } from '../../../common/log.ts'
import { encodeProxyHeader } from '../../../common/net/proxy-protocol.ts'
import { edgeConfigSchema } from '../../../config/schema.ts'
import { Admission } from '../../../edge/admission/admission.ts'
import { openDoor, readToEnd, type TestDoor, tlsClient } from '../front/support.ts'

/** Each publisher comes with a wrong key, and hears the code of the answer. The first wrong key is the ban. */
async function openStrict(config: Record<string, unknown> = {}): Promise<TestDoor> {
  const { shape } = edgeConfigSchema
  const limits = shape.admission.parse({ exempt: [], guessing: { failuresPerMinute: 1 } })
  const admission = new Admission({ limits, clock: systemClock, log: silentLogger })
  const { signal } = new AbortController()
  return await openDoor({
    config,
    admission,
    handlers: {
      onRtmp: async (socket, info) => {
        const attempt = { keyDigest: 'k', signal, refuse: () => {} }
        const wrong = { refused: refusal('key-unknown') }
        const open = () => Promise.resolve(wrong)
        const answer = await admission.publish(socket, info.remoteAddress, attempt, open)
        socket.end('refused' in answer ? answer.refused.code : 'started')
      },
    },
  })
}

async function guess(socket: TLSSocket): Promise<string> {
  socket.write(Buffer.from([3]))
  return await readToEnd(socket)
}

test('the address is kept out of every port', async () => {
  await using door = await openStrict()
  expect(await guess(await tlsClient(door))).toBe('address-banned')
  await expect(tlsClient(door)).rejects.toThrow()
  for (const port of [door.httpPort, door.rtmpPort]) {
    const socket = connectTcp({ host: '127.0.0.1', port })
    socket.on('error', () => {})
    await once(socket, 'close')
    expect(socket.bytesRead).toBe(0)
  }
})

test('behind a load balancer it is the address in the header that is banned', async () => {
  await using door = await openStrict({ trustedProxies: ['127.0.0.1'] })
  const from = async (address: string) => {
    const raw = connectTcp({ host: '127.0.0.1', port: door.port })
    raw.on('error', () => {})
    raw.write(encodeProxyHeader({ source: { address, port: 40_000 } }))
    const socket = connectTls({ socket: raw, servername: 'localhost', ca: door.ca })
    await once(socket, 'secureConnect')
    return socket
  }
  expect(await guess(await from('2001:db8::1'))).toBe('address-banned')
  // The same /64.
  await expect(from('2001:db8::2')).rejects.toThrow()
  const other = await from('2001:db8:0:1::1')
  other.destroy()
})
