// Fuzz target `session`: what a publisher says to the server's end, behind a handshake.
import { defaultRtmpLimits } from '../../media/rtmp/limits.ts'
import { RtmpServerSession } from '../../media/rtmp/server-session.ts'
import { fatalInput, harmlessInput } from '../corpus/rtmp.ts'
import { recordSession } from '../media/rtmp/recorded-session.ts'
import { command, connect, createStream, publish } from '../media/rtmp/wire.ts'
import { type FuzzTarget, pieces } from './fuzz-target.ts'
import { handshakeOptions } from './handshake-target.ts'

const { greeting, fromClient } = recordSession()
const seedBytes = 4096
/** Answers that nobody reads must not pile up. */
const maxAnswerBytes = 200_000

export const sessionTarget: FuzzTarget = {
  name: 'session',
  seeds: [
    fromClient,
    Buffer.concat([connect, createStream, publish('key?a=b')]),
    Buffer.concat([connect, createStream, command('FCPublish', 4, null, ['key']), publish('key')]),
    ...fatalInput.map(([, , parts]) => Buffer.concat(parts)),
    ...harmlessInput.map(([, part]) => Buffer.concat([connect, createStream, publish('k'), part])),
  ].map((seed) => seed.subarray(0, seedBytes)),
  check(bytes, random) {
    const session = new RtmpServerSession(handshakeOptions)
    session.receive(greeting)
    session.takeOutput()
    let answeredBytes = 0
    let isFailed = false
    for (const part of pieces(bytes, random)) {
      const events = session.receive(part)
      if (isFailed && events.length > 0) return 'heard a peer that had failed'
      for (const event of events) {
        if (event.type === 'publish') session.acceptPublish(event.streamId)
        if (event.type === 'error') isFailed = true
      }
      for (const { length } of session.takeOutput()) answeredBytes += length
      const allowed =
        session.state === 'live'
          ? defaultRtmpLimits.partialBytes
          : defaultRtmpLimits.partialBytesBeforePublish
      if (session.partialBytes > allowed) return `holds ${session.partialBytes} bytes`
    }
    return answeredBytes > maxAnswerBytes ? `answered ${answeredBytes} bytes` : undefined
  },
}
