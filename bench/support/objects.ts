// The objects that the edge scenario serves, the same from both servers. Bodies are ASCII: the load generator
// decodes them as text, and anything else would cost it more than the servers.

export interface BenchObject {
  name: string
  path: string
  bytes: number
  etag: string
  cacheControl: string
}

const immutable = 'public, max-age=31536000, immutable'
const take = '/live/bench/benchtag-1/720p'

export const benchObjects: readonly BenchObject[] = [
  {
    name: 'playlist, 1 KB',
    path: '/live/bench/720p.m3u8',
    bytes: 1_024,
    etag: '"playlist"',
    cacheControl: 'public, max-age=1',
  },
  {
    name: 'part, 64 KB',
    path: `${take}/1.m4s`,
    bytes: 65_536,
    etag: '"part"',
    cacheControl: immutable,
  },
  {
    name: 'segment, 1 MB',
    path: `${take}/2.m4s`,
    bytes: 1_048_576,
    etag: '"segment"',
    cacheControl: immutable,
  },
]

export function bodyOf(object: BenchObject): Buffer {
  return Buffer.alloc(object.bytes, '0123456789abcdef')
}
