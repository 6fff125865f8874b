import { expect, test } from 'vitest'
import { type ClientEvent, RtmpClientSession } from '../../../media/rtmp/client-session.ts'
import type { MediaMessage } from '../../../media/rtmp/message.ts'
import { RtmpServerSession, type ServerEvent } from '../../../media/rtmp/server-session.ts'

/** Carries bytes to and fro until both ends are silent. */
function shuttle(client: RtmpClientSession, server: RtmpServerSession) {
  const serverEvents: ServerEvent[] = []
  const clientEvents: ClientEvent[] = []
  for (;;) {
    const up = Buffer.concat(client.takeOutput())
    const down = Buffer.concat(server.takeOutput())
    if (up.length === 0 && down.length === 0) return { serverEvents, clientEvents }
    if (up.length > 0) serverEvents.push(...server.receive(up))
    if (down.length > 0) clientEvents.push(...client.receive(down))
  }
}

function publishing(options: { digestSchema?: 8 | 772; chunkSize?: number } = {}) {
  const client = new RtmpClientSession({
    app: 'live',
    tcUrl: 'rtmp://localhost/live',
    streamName: 'nc_name?ticket=a?b',
    ...options,
  })
  const server = new RtmpServerSession()
  client.start()
  return { client, server, ...shuttle(client, server) }
}

const onMetaData = Buffer.from('02000a6f6e4d65746144617461030000 09'.replaceAll(' ', ''), 'hex')

test.each([{}, { digestSchema: 8 as const }, { digestSchema: 772 as const }])(
  'a client publishes to a server with handshake %o',
  (options) => {
    const { client, server, serverEvents, clientEvents } = publishing(options)
    expect(serverEvents).toEqual([
      {
        type: 'connect',
        app: 'live',
        tcUrl: 'rtmp://localhost/live',
        flashVer: expect.stringContaining('nearcast'),
      },
      { type: 'publish', streamId: 1, name: 'nc_name', query: 'ticket=a?b', kind: 'live' },
    ])
    expect(clientEvents).toEqual([])
    expect(server.state).toBe('publishing')

    server.acceptPublish(1)
    const started = shuttle(client, server)
    expect(started.clientEvents).toEqual([
      {
        type: 'status',
        level: 'status',
        code: 'NetStream.Publish.Start',
        description: expect.any(String),
      },
      { type: 'started' },
    ])
  },
)

test('media arrives byte for byte, metadata without its @setDataFrame', () => {
  const { client, server } = publishing()
  server.acceptPublish(1)
  shuttle(client, server)
  const sent: MediaMessage[] = [
    { kind: 'data', timestampMs: 0, payload: onMetaData },
    { kind: 'video', timestampMs: 0, payload: Buffer.alloc(200_000, 7) },
    { kind: 'audio', timestampMs: 23, payload: Buffer.alloc(300, 8) },
    { kind: 'video', timestampMs: 40, payload: Buffer.alloc(1, 9) },
    { kind: 'video', timestampMs: 0xfffffff0, payload: Buffer.alloc(70_000, 10) },
    { kind: 'video', timestampMs: 5, payload: Buffer.alloc(70_000, 11) },
  ]
  for (const message of sent) client.sendMedia(message)
  const { serverEvents } = shuttle(client, server)
  expect(serverEvents).toEqual(sent.map((message) => ({ type: 'media', message })))
})

test('unpublish is told once', () => {
  const { client, server } = publishing()
  server.acceptPublish(1)
  shuttle(client, server)
  client.unpublish()
  expect(shuttle(client, server).serverEvents).toEqual([{ type: 'unpublish', streamId: 1 }])
  expect(server.state).toBe('connected')
})

test('a refusal before the start reaches the client as a status', () => {
  const { client, server } = publishing()
  server.refusePublish(1, { code: 'NetStream.Publish.BadName', description: 'no (key-unknown)' })
  expect(shuttle(client, server).clientEvents).toEqual([
    {
      type: 'status',
      level: 'error',
      code: 'NetStream.Publish.BadName',
      description: 'no (key-unknown)',
    },
  ])
  expect(client.state).toBe('ended')
})

test('a status after the start reaches the client, which may still send', () => {
  const { client, server } = publishing()
  server.acceptPublish(1)
  shuttle(client, server)
  server.sendStatus(1, { level: 'error', code: 'NetStream.Publish.Failed', description: 'why' })
  expect(shuttle(client, server).clientEvents).toMatchObject([{ type: 'status', level: 'error' }])
  expect(client.state).toBe('started')
})

test('a refused application is told before the connection fails', () => {
  const client = new RtmpClientSession({ app: 'other', tcUrl: '', streamName: 'x' })
  const server = new RtmpServerSession({
    checkConnect: ({ app }) =>
      app === 'live'
        ? undefined
        : { code: 'NetConnection.Connect.Rejected', description: 'no such app' },
  })
  client.start()
  const { serverEvents, clientEvents } = shuttle(client, server)
  expect(serverEvents).toMatchObject([{ type: 'error', error: { reason: 'app-refused' } }])
  expect(clientEvents).toEqual([
    {
      type: 'status',
      level: 'error',
      code: 'NetConnection.Connect.Rejected',
      description: 'no such app',
    },
  ])
})

test('the server acknowledges what the client sends', () => {
  const { client, server } = publishing()
  server.acceptPublish(1)
  shuttle(client, server)
  for (let i = 0; i < 3; i++) {
    client.sendMedia({ kind: 'video', timestampMs: i, payload: Buffer.alloc(1_000_000, i) })
  }
  shuttle(client, server)
  expect(client.bytesAcknowledged).toBeGreaterThan(2_500_000)
  expect(client.bytesAcknowledged).toBeLessThanOrEqual(server.bytesReceived)
})

test('a server may ping and acknowledge for as long as media flows', () => {
  const { client, server } = publishing()
  server.acceptPublish(1)
  shuttle(client, server)
  const ping = Buffer.from('020000000000060400000000000600000001', 'hex')
  for (let i = 0; i < 2000; i++) {
    client.sendMedia({ kind: 'audio', timestampMs: i, payload: Buffer.alloc(10) })
    expect(client.receive(ping)).toEqual([])
    shuttle(client, server)
  }
  expect(client.state).toBe('started')
  expect(server.state).toBe('live')
})
