// Process: the origin that both servers cache from. Sends its port to the parent.
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { benchObjects, bodyOf } from './objects.ts'

const answers = new Map(
  benchObjects.map((object) => [
    object.path,
    {
      body: bodyOf(object),
      headers: {
        'content-type': object.path.endsWith('.m3u8')
          ? 'application/vnd.apple.mpegurl'
          : 'video/mp4',
        'content-length': object.bytes,
        'cache-control': object.cacheControl,
        etag: object.etag,
      },
    },
  ]),
)

const server = createServer((req, res) => {
  const answer = answers.get(req.url ?? '')
  if (!answer) {
    res.writeHead(404).end()
    return
  }
  res.writeHead(200, answer.headers).end(answer.body)
})
server.listen(0, '127.0.0.1', () => process.send?.((server.address() as AddressInfo).port))
process.once('disconnect', () => server.closeAllConnections())
process.once('disconnect', () => server.close())
