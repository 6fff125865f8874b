// Writes an HLS multivariant playlist (RFC 8216bis §4.4.6) from plain values.

interface Bitrates {
  /** Peak; of a variant, that of its audio included. */
  bitsPerSecond: number
  averageBitsPerSecond: number
}

export interface Variant extends Bitrates {
  uri: string
  /** Names the variant over all versions of the playlist. */
  stableId?: string
  /** Every codec that occurs in the variant, audio included. */
  codecs: readonly string[]
  /** Absent for a variant of sound alone. */
  picture?: { width: number; height: number; framesPerSecond: number }
}

export interface AudioRendition {
  uri: string
  stableId?: string
  name: string
  channels: number
}

/** Keyframes of one rendition, for scrubbing. */
export interface KeyframeVariant extends Bitrates {
  uri: string
  stableId?: string
  codecs: readonly string[]
  picture: { width: number; height: number }
}

export interface MultivariantPlaylist {
  variants: readonly Variant[]
  /** Sound that all variants share in a playlist of its own. */
  audio?: AudioRendition
  keyframes?: KeyframeVariant
}

const audioGroup = 'audio'

export function writeMultivariantPlaylist(playlist: MultivariantPlaylist): string {
  const { variants, audio, keyframes } = playlist
  const lines = ['#EXTM3U', '#EXT-X-VERSION:6', '#EXT-X-INDEPENDENT-SEGMENTS']
  if (audio) {
    const attributes = [
      'TYPE=AUDIO',
      `GROUP-ID="${audioGroup}"`,
      `NAME="${audio.name}"`,
      'DEFAULT=YES',
      'AUTOSELECT=YES',
      `CHANNELS="${audio.channels}"`,
    ]
    if (audio.stableId) attributes.push(`STABLE-RENDITION-ID="${audio.stableId}"`)
    lines.push(`#EXT-X-MEDIA:${attributes.join(',')},URI="${audio.uri}"`)
  }
  for (const { uri, stableId, codecs, picture, ...bitrates } of variants) {
    const attributes = [...bitrateAttributes(bitrates), `CODECS="${codecs.join(',')}"`]
    if (picture) {
      attributes.push(
        `RESOLUTION=${picture.width}x${picture.height}`,
        `FRAME-RATE=${picture.framesPerSecond.toFixed(3)}`,
      )
    }
    if (audio) attributes.push(`AUDIO="${audioGroup}"`)
    if (stableId) attributes.push(`STABLE-VARIANT-ID="${stableId}"`)
    lines.push(`#EXT-X-STREAM-INF:${attributes.join(',')}`, uri)
  }
  if (keyframes) {
    const { uri, stableId, codecs, picture, ...bitrates } = keyframes
    const attributes = [
      ...bitrateAttributes(bitrates),
      `CODECS="${codecs.join(',')}"`,
      `RESOLUTION=${picture.width}x${picture.height}`,
    ]
    if (stableId) attributes.push(`STABLE-VARIANT-ID="${stableId}"`)
    lines.push(`#EXT-X-I-FRAME-STREAM-INF:${attributes.join(',')},URI="${uri}"`)
  }
  return `${lines.join('\n')}\n`
}

function bitrateAttributes({ bitsPerSecond, averageBitsPerSecond }: Bitrates): string[] {
  return [
    `BANDWIDTH=${Math.ceil(bitsPerSecond)}`,
    `AVERAGE-BANDWIDTH=${Math.ceil(averageBitsPerSecond)}`,
  ]
}
