// Reads the text of an HLS media playlist into values, for tests: every tag that a live playlist of ours can have.

export interface LivePart {
  uri: string
  seconds: number
  isIndependent: boolean
  isGap: boolean
}

export interface LiveSegment {
  number: number
  /** Undefined while the segment is open. */
  uri: string | undefined
  /** Of its parts so far, while the segment is open. */
  seconds: number
  isGap: boolean
  hasDiscontinuity: boolean
  /** The one in force. */
  mapUri: string | undefined
  dateMs: number | undefined
  byteRange: string | undefined
  parts: LivePart[]
  /** A tag that belongs in front of the first part stood behind it. */
  hasLateTag: boolean
}

export interface LivePlaylist {
  version: number
  targetDuration: number
  mediaSequence: number
  discontinuitySequence: number | undefined
  serverControl: Record<string, string> | undefined
  partTarget: number | undefined
  /** Of a delta update, else 0. */
  skippedSegments: number
  /** From the first that is not skipped; the last one may be open. */
  segments: LiveSegment[]
  hints: Record<string, string>[]
  reports: { uri: string; lastNumber: number; lastPart: number | undefined }[]
  type: string | undefined
  hasIndependentSegments: boolean
  hasOnlyKeyframes: boolean
  isEnded: boolean
  /** Tags in the order in which they stand, each once. */
  tagOrder: string[]
}

export function attributesOf(text: string): Record<string, string> {
  const attributes: Record<string, string> = {}
  for (const [, name = '', quoted, plain] of text.matchAll(/([A-Z0-9-]+)=(?:"([^"]*)"|([^,]*))/g)) {
    attributes[name] = quoted ?? plain ?? ''
  }
  return attributes
}

export function readLivePlaylist(text: string): LivePlaylist {
  const playlist: LivePlaylist = {
    version: 1,
    targetDuration: Number.NaN,
    mediaSequence: 0,
    discontinuitySequence: undefined,
    serverControl: undefined,
    partTarget: undefined,
    skippedSegments: 0,
    segments: [],
    hints: [],
    reports: [],
    type: undefined,
    hasIndependentSegments: false,
    hasOnlyKeyframes: false,
    isEnded: false,
    tagOrder: [],
  }
  let mapUri: string | undefined
  let isTouched = false
  const fresh = (): LiveSegment => ({
    number: 0,
    uri: undefined,
    seconds: 0,
    isGap: false,
    hasDiscontinuity: false,
    mapUri,
    dateMs: undefined,
    byteRange: undefined,
    parts: [],
    hasLateTag: false,
  })
  let segment = fresh()
  const number = () => playlist.mediaSequence + playlist.skippedSegments + playlist.segments.length
  const change = (values: Partial<LiveSegment>) => {
    Object.assign(segment, values)
    isTouched = true
  }
  const changeHead = (values: Partial<LiveSegment>) => {
    change({ ...values, hasLateTag: segment.hasLateTag || segment.parts.length > 0 })
  }
  for (const line of text.split('\n')) {
    const [, tag = '', value = ''] = /^#([^:]*):?(.*)$/.exec(line) ?? []
    if (tag && !playlist.tagOrder.includes(tag)) playlist.tagOrder.push(tag)
    if (line !== '' && !line.startsWith('#')) {
      playlist.segments.push({ ...segment, uri: line, number: number() })
      segment = fresh()
      isTouched = false
    } else if (tag === 'EXT-X-VERSION') playlist.version = Number(value)
    else if (tag === 'EXT-X-TARGETDURATION') playlist.targetDuration = Number(value)
    else if (tag === 'EXT-X-MEDIA-SEQUENCE') playlist.mediaSequence = Number(value)
    else if (tag === 'EXT-X-DISCONTINUITY-SEQUENCE') playlist.discontinuitySequence = Number(value)
    else if (tag === 'EXT-X-PLAYLIST-TYPE') playlist.type = value
    else if (tag === 'EXT-X-INDEPENDENT-SEGMENTS') playlist.hasIndependentSegments = true
    else if (tag === 'EXT-X-I-FRAMES-ONLY') playlist.hasOnlyKeyframes = true
    else if (tag === 'EXT-X-ENDLIST') playlist.isEnded = true
    else if (tag === 'EXT-X-SERVER-CONTROL') playlist.serverControl = attributesOf(value)
    else if (tag === 'EXT-X-PART-INF') {
      playlist.partTarget = Number(attributesOf(value)['PART-TARGET'])
    } else if (tag === 'EXT-X-SKIP') {
      playlist.skippedSegments = Number(attributesOf(value)['SKIPPED-SEGMENTS'])
    } else if (tag === 'EXT-X-DISCONTINUITY') changeHead({ hasDiscontinuity: true })
    else if (tag === 'EXT-X-PROGRAM-DATE-TIME') changeHead({ dateMs: Date.parse(value) })
    else if (tag === 'EXT-X-MAP') {
      mapUri = attributesOf(value).URI
      changeHead({ mapUri })
    } else if (tag === 'EXT-X-GAP') change({ isGap: true })
    else if (tag === 'EXTINF') change({ seconds: Number.parseFloat(value) })
    else if (tag === 'EXT-X-BYTERANGE') change({ byteRange: value })
    else if (tag === 'EXT-X-PART') change({ parts: [...segment.parts, readPart(value)] })
    else if (tag === 'EXT-X-PRELOAD-HINT') playlist.hints.push(attributesOf(value))
    else if (tag === 'EXT-X-RENDITION-REPORT') playlist.reports.push(readReport(value))
  }
  if (isTouched) {
    const seconds = segment.parts.reduce((sum, it) => sum + it.seconds, 0)
    playlist.segments.push({ ...segment, seconds, number: number() })
  }
  return playlist
}

function readPart(value: string): LivePart {
  const part = attributesOf(value)
  return {
    uri: part.URI ?? '',
    seconds: Number(part.DURATION),
    isIndependent: part.INDEPENDENT === 'YES',
    isGap: part.GAP === 'YES',
  }
}

function readReport(value: string): LivePlaylist['reports'][number] {
  const report = attributesOf(value)
  const lastPart = report['LAST-PART']
  return {
    uri: report.URI ?? '',
    lastNumber: Number(report['LAST-MSN']),
    lastPart: lastPart === undefined ? undefined : Number(lastPart),
  }
}
