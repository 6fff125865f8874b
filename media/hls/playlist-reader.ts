// Reads what a cache must know of an HLS media playlist (RFC 8216bis §4.4) that somebody else has written: how far it
// has got, what its server promises, and what comes next. Strict and bounded: a text that is anything but one whole
// media playlist gives nothing, and then nothing is known of it.

export interface MediaPlaylistFacts {
  targetDurationSeconds: number
  /** Where it has parts. */
  partTargetSeconds: number | undefined
  mediaSequence: number
  /** Since the beginning: those that have left and those that are listed. */
  discontinuities: number
  /** Of the newest complete segment; one less than the media sequence where there is none. */
  lastNumber: number
  /** Parts that are listed of that segment. */
  lastSegmentParts: number
  /** Parts of the segment after it. */
  openParts: number
  isEnded: boolean
  hasOnlyKeyframes: boolean
  /** Server control (§4.4.3.8). */
  canBlockReload: boolean
  skipUntilSeconds: number | undefined
  /** As written; none of a gap, and none that is only a range of a file. */
  newestSegmentUri: string | undefined
  /** Of the open segment, or of the newest complete one where none is open. */
  newestPartUris: readonly string[]
  /** Of the part that comes next. */
  hintUri: string | undefined
  /** In force at the end. */
  mapUri: string | undefined
  /** The last one listed, of a segment, a part or a gap. */
  lastUri: string | undefined
}

const maxLength = 1024 * 1024
const maxUriLength = 512
/** Tags that may stand once (§4.4.1 to §4.4.3). */
const single = new Set([
  'EXTM3U',
  'EXT-X-VERSION',
  'EXT-X-TARGETDURATION',
  'EXT-X-MEDIA-SEQUENCE',
  'EXT-X-DISCONTINUITY-SEQUENCE',
  'EXT-X-SERVER-CONTROL',
  'EXT-X-PART-INF',
  'EXT-X-ENDLIST',
  'EXT-X-I-FRAMES-ONLY',
])
/** Of a multivariant playlist, of a delta update, or what changes the meaning of the lines below it. */
const foreign = new Set([
  'EXT-X-STREAM-INF',
  'EXT-X-I-FRAME-STREAM-INF',
  'EXT-X-MEDIA',
  'EXT-X-SKIP',
  'EXT-X-DEFINE',
])

/** Undefined where the text is not a media playlist, or not one that can be understood whole. */
export function readMediaPlaylist(text: string): MediaPlaylistFacts | undefined {
  if (text.length > maxLength || !/^#EXTM3U\r?\n/.test(text)) return undefined
  const reading = new Reading()
  for (let from = 0; from < text.length; ) {
    const end = text.indexOf('\n', from)
    // A text that breaks off is not whole.
    if (end < 0) return undefined
    const line = text.slice(from, text[end - 1] === '\r' ? end - 1 : end)
    if (!reading.take(line)) return undefined
    from = end + 1
  }
  return reading.facts()
}

class Reading {
  readonly #seen = new Set<string>()
  #targetDuration: number | undefined
  #partTarget: number | undefined
  #mediaSequence = 0
  #discontinuities = 0
  #segments = 0
  #lastSegmentParts = 0
  #openParts = 0
  #partUris: string[] = []
  #lastPartUris: string[] = []
  #newestSegmentUri: string | undefined
  #hintUri: string | undefined
  #mapUri: string | undefined
  #lastUri: string | undefined
  #canBlockReload = false
  #skipUntil: number | undefined
  /** Tags that belong to the next URI. */
  #hasDuration = false
  #isGap = false
  #isRange = false

  /** False for a line that makes the whole text unreadable. */
  take(line: string): boolean {
    if (line === '') return true
    if (!line.startsWith('#')) return this.#segment(line)
    if (!line.startsWith('#EXT')) return true
    const colon = line.indexOf(':')
    const tag = colon < 0 ? line.slice(1) : line.slice(1, colon)
    const value = colon < 0 ? '' : line.slice(colon + 1)
    if (foreign.has(tag)) return false
    if (single.has(tag)) {
      if (this.#seen.has(tag)) return false
      this.#seen.add(tag)
    }
    return this.#tag(tag, value)
  }

  facts(): MediaPlaylistFacts | undefined {
    const isEnded = this.#seen.has('EXT-X-ENDLIST')
    if (this.#targetDuration === undefined || this.#hasDuration) return undefined
    const hasOpen = this.#openParts > 0
    return {
      targetDurationSeconds: this.#targetDuration,
      partTargetSeconds: this.#partTarget,
      mediaSequence: this.#mediaSequence,
      discontinuities: this.#discontinuities,
      lastNumber: this.#mediaSequence + this.#segments - 1,
      lastSegmentParts: this.#lastSegmentParts,
      openParts: this.#openParts,
      isEnded,
      hasOnlyKeyframes: this.#seen.has('EXT-X-I-FRAMES-ONLY'),
      canBlockReload: this.#canBlockReload,
      skipUntilSeconds: this.#skipUntil,
      newestSegmentUri: this.#newestSegmentUri,
      newestPartUris: hasOpen ? this.#partUris : this.#lastPartUris,
      hintUri: isEnded ? undefined : this.#hintUri,
      mapUri: this.#mapUri,
      lastUri: this.#lastUri,
    }
  }

  #tag(tag: string, value: string): boolean {
    switch (tag) {
      case 'EXT-X-TARGETDURATION':
        this.#targetDuration = integer(value, 5)
        return this.#targetDuration !== undefined && this.#targetDuration > 0
      case 'EXT-X-MEDIA-SEQUENCE': {
        const number = integer(value)
        // It must stand before the first segment (§4.4.3.2).
        if (number === undefined || this.#segments + this.#openParts > 0) return false
        this.#mediaSequence = number
        return true
      }
      case 'EXT-X-DISCONTINUITY-SEQUENCE': {
        const number = integer(value)
        if (number === undefined) return false
        this.#discontinuities += number
        return true
      }
      case 'EXT-X-DISCONTINUITY':
        this.#discontinuities++
        return true
      case 'EXT-X-GAP':
        this.#isGap = true
        return true
      case 'EXT-X-BYTERANGE':
        this.#isRange = true
        return true
      case 'EXTINF':
        if (this.#hasDuration) return false
        this.#hasDuration = true
        return seconds(value.split(',', 1)[0]!) !== undefined
      case 'EXT-X-PART-INF':
      case 'EXT-X-SERVER-CONTROL':
      case 'EXT-X-PART':
      case 'EXT-X-PRELOAD-HINT':
      case 'EXT-X-MAP':
        return this.#list(tag, value)
      default:
        return true
    }
  }

  #list(tag: string, value: string): boolean {
    const attributes = readAttributes(value)
    if (!attributes) return false
    const uri = attributes.get('URI')
    if (uri !== undefined && uri.length > maxUriLength) return false
    switch (tag) {
      case 'EXT-X-PART-INF':
        this.#partTarget = seconds(attributes.get('PART-TARGET') ?? '')
        return this.#partTarget !== undefined && this.#partTarget > 0
      case 'EXT-X-SERVER-CONTROL': {
        const skip = attributes.get('CAN-SKIP-UNTIL')
        this.#canBlockReload = attributes.get('CAN-BLOCK-RELOAD') === 'YES'
        this.#skipUntil = skip === undefined ? undefined : seconds(skip)
        return skip === undefined || this.#skipUntil !== undefined
      }
      case 'EXT-X-PART':
        if (uri === undefined) return false
        this.#openParts++
        this.#lastUri = uri
        if (attributes.get('GAP') !== 'YES' && !attributes.has('BYTERANGE')) {
          this.#partUris.push(uri)
        }
        return true
      case 'EXT-X-PRELOAD-HINT': {
        const isWhole = !attributes.has('BYTERANGE-START') && !attributes.has('BYTERANGE-LENGTH')
        if (attributes.get('TYPE') === 'PART' && isWhole) this.#hintUri = uri
        return uri !== undefined
      }
      default:
        this.#mapUri = attributes.has('BYTERANGE') ? undefined : uri
        return uri !== undefined
    }
  }

  #segment(uri: string): boolean {
    if (!this.#hasDuration || uri.length > maxUriLength) return false
    this.#segments++
    this.#lastUri = uri
    if (!this.#isGap && !this.#isRange) this.#newestSegmentUri = uri
    this.#lastSegmentParts = this.#openParts
    this.#lastPartUris = this.#partUris
    this.#openParts = 0
    this.#partUris = []
    this.#hasDuration = this.#isGap = this.#isRange = false
    return true
  }
}

/** An attribute list (§4.2); undefined where it is malformed or names one twice. */
export function readAttributes(text: string): Map<string, string> | undefined {
  const attributes = new Map<string, string>()
  const attribute = /([A-Z0-9-]+)=(?:"([^"]*)"|([^",]*))(?:,|$)/y
  while (attribute.lastIndex < text.length) {
    const match = attribute.exec(text)
    if (!match || attributes.has(match[1]!)) return undefined
    attributes.set(match[1]!, match[2] ?? match[3]!)
  }
  return attributes
}

function integer(text: string, maxDigits = 15): number | undefined {
  return /^\d+$/.test(text) && text.length <= maxDigits ? Number(text) : undefined
}

function seconds(text: string): number | undefined {
  return /^\d{1,9}(?:\.\d{1,9})?$/.test(text) ? Number(text) : undefined
}
