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
  const { segments, version } = parser.manifest as {
    segments: { parts?: unknown[]; duration?: number; uri?: string }[]
    version: number
  }
  const complete = segments.filter((it) => it.uri !== undefined)
  const parts = segments.reduce((sum, it) => sum + (it.parts?.length ?? 0), 0)
  return { complaints, segments: complete.length, parts, version }
}

/** As hls-parser sees it; it throws at what the specification forbids. */
export function readWithHlsParser(text: string): ParserReading {
  const complaints: string[] = []
  try {
    const playlist = HLS.parse(text)
    if (playlist.isMasterPlaylist) {
      return { complaints, segments: playlist.variants.length, parts: 0, version: playlist.version }
    }
    const complete = playlist.segments.filter((it) => it.uri !== '')
    const parts = playlist.segments.reduce(
      (sum, it) => sum + it.parts.filter((part) => !part.hint).length,
      0,
    )
    return { complaints, segments: complete.length, parts, version: playlist.version }
  } catch (error) {
    return { complaints: [String(error)], segments: 0, parts: 0, version: undefined }
  }
}
