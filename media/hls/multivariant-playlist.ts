// Writes an HLS multivariant playlist (RFC 8216bis §4.4.6) from plain values.

export interface Variant {
  uri: string
  /** Peak of the variant with its audio. */
  bitsPerSecond: number
  averageBitsPerSecond: number
  /** Every codec that occurs in the variant, audio included. */
  codecs: readonly string[]
  /** Absent for a variant of sound alone. */
  picture?: { width: number; height: number; framesPerSecond: number }
}

export interface AudioRendition {
  uri: string
  name: string
  channels: number
}

export interface MultivariantPlaylist {
  variants: readonly Variant[]
  /** Sound that all variants share in a playlist of its own. */
  audio?: AudioRendition
}

const audioGroup = 'audio'

export function writeMultivariantPlaylist({ variants, audio }: MultivariantPlaylist): string {
  const lines = ['#EXTM3U', '#EXT-X-VERSION:6', '#EXT-X-INDEPENDENT-SEGMENTS']
  if (audio) {
    lines.push(
      `#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="${audioGroup}",NAME="${audio.name}",DEFAULT=YES,AUTOSELECT=YES,CHANNELS="${audio.channels}",URI="${audio.uri}"`,
    )
  }
  for (const { uri, bitsPerSecond, averageBitsPerSecond, codecs, picture } of variants) {
    const attributes = [
      `BANDWIDTH=${Math.ceil(bitsPerSecond)}`,
      `AVERAGE-BANDWIDTH=${Math.ceil(averageBitsPerSecond)}`,
      `CODECS="${codecs.join(',')}"`,
    ]
    if (picture) {
      attributes.push(
        `RESOLUTION=${picture.width}x${picture.height}`,
        `FRAME-RATE=${picture.framesPerSecond.toFixed(3)}`,
      )
    }
    if (audio) attributes.push(`AUDIO="${audioGroup}"`)
    lines.push(`#EXT-X-STREAM-INF:${attributes.join(',')}`, uri)
  }
  return `${lines.join('\n')}\n`
}
