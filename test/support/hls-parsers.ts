// Two HLS parsers that others have written, as judges of our playlists.
import HLS from 'hls-parser'
// @ts-expect-error It has no types.
import { Parser } from 'm3u8-parser'

export interface ParserReading {
  /** Complaints; none is expected. */
  complaints: string[]
  segments: number
  parts: number
  version: number | undefined
}

/** As m3u8-parser sees a media playlist. */
export function readWithM3u8Parser(text: string): ParserReading {
  const parser = new Parser()
  const complaints: string[] = []
  for (const kind of ['warn', 'error']) {
    parser.on(kind, ({ message }: { message: string }) => complaints.push(message))
  }
  parser.push(text)
  parser.end()
  const { segments, preloadSegment, version } = parser.manifest as {
    segments: { parts?: unknown[]; uri?: string }[]
    /** The open one. */
    preloadSegment?: { parts?: unknown[] }
    version: number
  }
  const all = preloadSegment ? [...segments, preloadSegment] : segments
  const parts = all.reduce((sum, it) => sum + (it.parts?.length ?? 0), 0)
  const complete = segments.filter((it) => it.uri !== undefined && it !== preloadSegment)
  return { complaints, segments: complete.length, parts, version }
}

/** It takes three target durations for three segments; ours last half of one. */
const mistaken = 'Remove EXT-X-PART tags from the Playlist after'

/** As hls-parser sees it, in its strict mode. */
export function readWithHlsParser(text: string): ParserReading {
  const complaints: string[] = []
  try {
    HLS.setOptions({ strictMode: true })
    HLS.parse(text)
  } catch (error) {
    if (!String(error).includes(mistaken)) complaints.push(String(error))
  }
  HLS.setOptions({ strictMode: false, silent: true })
  const playlist = HLS.parse(text)
  const { version } = playlist
  if (playlist.isMasterPlaylist) {
    return { complaints, segments: playlist.variants.length, parts: 0, version }
  }
  const complete = playlist.segments.filter((it) => it.uri !== '')
  const listed = playlist.segments.flatMap((it) => it.parts.filter((part) => !part.hint))
  return { complaints, segments: complete.length, parts: listed.length, version }
}
