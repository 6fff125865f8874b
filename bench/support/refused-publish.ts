// One try with a stream key that is refused: how long the answer to the publish takes, as an attacker could measure.
import { connect } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { refusalFromDescription } from '../../common/contract/refusal.ts'
import { RtmpClientSession } from '../../media/rtmp/client-session.ts'

export interface RefusedPublish {
  code: string
  /** From the publish command to its answer. */
  answerMs: number
}

const limitMs = 10_000

/** `server` is an `rtmp:` or `rtmps:` URL; the certificate is not checked. Rejects when there is no refusal. */
export function refusedPublish(server: string, streamName: string): Promise<RefusedPublish> {
  const url = new URL(server)
  const address = { host: url.hostname, port: Number(url.port) }
  const isTls = url.protocol === 'rtmps:'
  const socket = isTls
    ? connectTls({ ...address, rejectUnauthorized: false, servername: url.hostname })
    : connect({ ...address, noDelay: true })
  const app = url.pathname.slice(1)
  const session = new RtmpClientSession({ app, tcUrl: server, streamName })
  const answer = Promise.withResolvers<RefusedPublish>()
  let askedAt = 0
  const flush = () => {
    for (const bytes of session.takeOutput()) socket.write(bytes)
    if (askedAt === 0 && session.state === 'publishing') askedAt = performance.now()
  }
  socket.setTimeout(limitMs, () => answer.reject(new Error('no answer in time')))
  socket.once(isTls ? 'secureConnect' : 'connect', () => {
    session.start()
    flush()
  })
  socket.on('data', (bytes: Buffer) => {
    for (const event of session.receive(bytes)) {
      if (event.type !== 'status' || event.level !== 'error') continue
      const answerMs = performance.now() - askedAt
      const refused = refusalFromDescription(event.description)
      if (refused && askedAt > 0) answer.resolve({ code: refused.code, answerMs })
    }
    flush()
  })
  socket.once('error', (err) => answer.reject(err))
  socket.once('close', () => answer.reject(new Error('closed without a refusal')))
  return answer.promise.finally(() => socket.destroy())
}
