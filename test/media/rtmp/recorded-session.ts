// What both ends of a whole publish say, for tests that damage it.
import { writeAmf0 } from '../../../media/rtmp/amf0.ts'
import { RtmpClientSession } from '../../../media/rtmp/client-session.ts'
import { RtmpServerSession } from '../../../media/rtmp/server-session.ts'

export interface RecordedSession {
  /** C0, C1 and C2. */
  greeting: Buffer
  /** Behind the handshake. */
  fromClient: Buffer
  fromServer: Buffer
}

const handshakeBytes = 1 + 2 * 1536

export function recordSession(digestSchema?: 8 | 772): RecordedSession {
  const client = new RtmpClientSession({
    app: 'live',
    tcUrl: 'rtmp://a/live',
    streamName: 'key',
    ...(digestSchema && { digestSchema }),
  })
  const server = new RtmpServerSession()
  const said = { up: [] as Buffer[], down: [] as Buffer[] }
  const shuttle = () => {
    for (;;) {
      const up = Buffer.concat(client.takeOutput())
      const down = Buffer.concat(server.takeOutput())
      if (up.length === 0 && down.length === 0) return
      said.up.push(up)
      said.down.push(down)
      for (const event of server.receive(up)) {
        if (event.type === 'publish') server.acceptPublish(event.streamId)
      }
      client.receive(down)
    }
  }
  client.start()
  shuttle()
  const metadata = writeAmf0('onMetaData', { width: 1, height: 2, encoder: 'x' })
  client.sendMedia({ kind: 'data', timestampMs: 0, payload: metadata })
  for (let i = 0; i < 5; i++) {
    client.sendMedia({ kind: 'video', timestampMs: i * 40, payload: Buffer.alloc(1500, 0x27) })
    client.sendMedia({ kind: 'audio', timestampMs: i * 40, payload: Buffer.alloc(200, 0xaf) })
  }
  shuttle()
  server.sendStatus(1, { level: 'error', code: 'NetStream.Publish.Failed', description: 'why' })
  client.unpublish()
  shuttle()
  const fromClient = Buffer.concat(said.up)
  return {
    greeting: fromClient.subarray(0, handshakeBytes),
    fromClient: fromClient.subarray(handshakeBytes),
    fromServer: Buffer.concat(said.down).subarray(handshakeBytes),
  }
}
