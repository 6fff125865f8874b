// A store that a muxer pushes files into by HTTP PUT, and that players read from while they grow: what a CDN
// would be to ffmpeg's own dash muxer.
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { extname } from 'node:path'

interface Stored {
  pieces: Buffer[]
  isWhole: boolean
  readers: Set<ServerResponse>
}

const types: Record<string, string> = {
  '.m3u8': 'application/vnd.apple.mpegurl',
  '.mpd': 'application/dash+xml',
  '.m4s': 'video/iso.segment',
}
const kept = 200

export interface PushStore extends AsyncDisposable {
  url: string
}

export async function startPushStore(): Promise<PushStore> {
  const files = new Map<string, Stored>()
  const server = createServer((req, res) => {
    const path = new URL(req.url ?? '/', 'http://localhost').pathname
    res.setHeader('access-control-allow-origin', '*')
    res.setHeader('cache-control', 'no-cache')
    if (path === '/time') res.end(new Date().toISOString())
    else if (req.method === 'PUT') take(files, path, req, res)
    else if (req.method === 'DELETE') res.writeHead(204).end()
    else give(files, path, res)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

function take(
  files: Map<string, Stored>,
  path: string,
  req: IncomingMessage,
  res: ServerResponse,
): void {
  const file: Stored = { pieces: [], isWhole: false, readers: new Set() }
  // A manifest is replaced at once, when it is whole: half of one would be read.
  const isManifest = /\.(mpd|m3u8)$/.test(path)
  if (!isManifest) files.set(path, file)
  req.on('data', (piece: Buffer) => {
    file.pieces.push(piece)
    for (const reader of file.readers) reader.write(piece)
  })
  req.on('end', () => {
    file.isWhole = true
    files.set(path, file)
    for (const reader of file.readers) reader.end()
    res.writeHead(201).end()
    const [oldest] = files.keys()
    if (files.size > kept && oldest && !/init|mpd|m3u8/.test(oldest)) files.delete(oldest)
  })
}

function give(files: Map<string, Stored>, path: string, res: ServerResponse): void {
  const file = files.get(path)
  if (!file) {
    res.writeHead(404).end()
    return
  }
  res.writeHead(200, { 'content-type': types[extname(path)] ?? 'video/mp4' })
  for (const piece of file.pieces) res.write(piece)
  if (file.isWhole) {
    res.end()
    return
  }
  file.readers.add(res)
  res.on('close', () => file.readers.delete(res))
}
