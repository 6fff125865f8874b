// Writes a DASH MPD (ISO/IEC 23009-1) with one Period per take and SegmentTimelines, live or static.

export interface MpdSegment {
  startTicks: number
  durationTicks: number
}

export interface MpdRepresentation {
  id: string
  bitsPerSecond: number
  codec: string
  timescale: number
  /** Relative URI with $Number$ in it. */
  mediaTemplate: string
  initializationUri: string
  startNumber: number
  segments: readonly MpdSegment[]
  /** Of a picture. */
  width?: number
  height?: number
  framesPerSecond?: number
  /** Of sound. */
  sampleRate?: number
  channels?: number
}

export interface MpdPeriod {
  id: string
  /** On the presentation timeline. */
  startSeconds: number
  /** Media time that plays at the start of the Period. */
  mediaStartSeconds: number
  /** Required for each Period but the last one of a live MPD. */
  durationSeconds?: number
  video: readonly MpdRepresentation[]
  audio: readonly MpdRepresentation[]
}

export interface LiveMpd {
  availabilityStartTimeMs: number
  publishTimeMs: number
  minimumUpdatePeriodSeconds: number
  timeShiftBufferDepthSeconds: number
  suggestedPresentationDelaySeconds: number
  /** Relative URI that answers the time in ISO form. */
  timeUri: string
}

export interface Mpd {
  /** Absent: the presentation is static. */
  live?: LiveMpd
  /** Of a static presentation. */
  durationSeconds?: number
  maxSegmentSeconds: number
  periods: readonly MpdPeriod[]
}

export function writeMpd(mpd: Mpd): string {
  const root: Attributes = {
    xmlns: 'urn:mpeg:dash:schema:mpd:2011',
    profiles: mpd.live
      ? 'urn:mpeg:dash:profile:isoff-live:2011'
      : 'urn:mpeg:dash:profile:isoff-live:2011,urn:mpeg:dash:profile:isoff-on-demand:2011',
    type: mpd.live ? 'dynamic' : 'static',
  }
  if (mpd.live) {
    root.availabilityStartTime = new Date(mpd.live.availabilityStartTimeMs).toISOString()
    root.publishTime = new Date(mpd.live.publishTimeMs).toISOString()
    root.minimumUpdatePeriod = seconds(mpd.live.minimumUpdatePeriodSeconds)
    root.timeShiftBufferDepth = seconds(mpd.live.timeShiftBufferDepthSeconds)
    root.suggestedPresentationDelay = seconds(mpd.live.suggestedPresentationDelaySeconds)
  } else {
    root.mediaPresentationDuration = seconds(mpd.durationSeconds ?? 0)
  }
  root.maxSegmentDuration = seconds(mpd.maxSegmentSeconds)
  root.minBufferTime = 'PT2S'

  const children = mpd.periods.map(writePeriod)
  if (mpd.live) {
    children.push(
      element('UTCTiming', {
        schemeIdUri: 'urn:mpeg:dash:utc:http-iso:2014',
        value: mpd.live.timeUri,
      }),
    )
  }
  return `<?xml version="1.0" encoding="UTF-8"?>\n${element('MPD', root, children)}\n`
}

function writePeriod(period: MpdPeriod): string {
  const sets: string[] = []
  if (period.video.length > 0) {
    const attributes = {
      id: '0',
      contentType: 'video',
      mimeType: 'video/mp4',
      segmentAlignment: 'true',
      startWithSAP: '1',
      maxWidth: Math.max(...period.video.map((it) => it.width ?? 0)),
      maxHeight: Math.max(...period.video.map((it) => it.height ?? 0)),
    }
    sets.push(adaptationSet(attributes, period, period.video))
  }
  if (period.audio.length > 0) {
    const attributes = {
      id: '1',
      contentType: 'audio',
      mimeType: 'audio/mp4',
      segmentAlignment: 'true',
      startWithSAP: '1',
    }
    sets.push(adaptationSet(attributes, period, period.audio))
  }
  const attributes: Attributes = { id: period.id, start: seconds(period.startSeconds) }
  if (period.durationSeconds !== undefined) {
    attributes.duration = seconds(period.durationSeconds)
  }
  return element('Period', attributes, sets)
}

function adaptationSet(
  attributes: Attributes,
  period: MpdPeriod,
  representations: readonly MpdRepresentation[],
): string {
  const role = element('Role', { schemeIdUri: 'urn:mpeg:dash:role:2011', value: 'main' })
  const written = representations.map((it) => writeRepresentation(it, period))
  return element('AdaptationSet', attributes, [role, ...written])
}

function writeRepresentation(it: MpdRepresentation, period: MpdPeriod): string {
  const attributes: Attributes = {
    id: it.id,
    bandwidth: Math.ceil(it.bitsPerSecond),
    codecs: it.codec,
  }
  const children: string[] = []
  if (it.width !== undefined && it.height !== undefined) {
    attributes.width = it.width
    attributes.height = it.height
  }
  if (it.framesPerSecond !== undefined) attributes.frameRate = frameRate(it.framesPerSecond)
  if (it.sampleRate !== undefined) attributes.audioSamplingRate = it.sampleRate
  if (it.channels !== undefined) {
    children.push(
      element('AudioChannelConfiguration', {
        schemeIdUri: 'urn:mpeg:dash:23003:3:audio_channel_configuration:2011',
        value: it.channels,
      }),
    )
  }
  children.push(
    element(
      'SegmentTemplate',
      {
        timescale: it.timescale,
        presentationTimeOffset: Math.round(period.mediaStartSeconds * it.timescale),
        startNumber: it.startNumber,
        media: it.mediaTemplate,
        initialization: it.initializationUri,
      },
      [element('SegmentTimeline', {}, timeline(it.segments))],
    ),
  )
  return element('Representation', attributes, children)
}

/** §5.3.9.6: `t` where time does not simply go on, `r` for further segments of the same length. */
function timeline(segments: readonly MpdSegment[]): string[] {
  const runs: { t: number | undefined; d: number; r: number }[] = []
  let expected: number | undefined
  for (const { startTicks, durationTicks } of segments) {
    const last = runs.at(-1)
    if (last && startTicks === expected && last.d === durationTicks) last.r++
    else {
      runs.push({ t: startTicks === expected ? undefined : startTicks, d: durationTicks, r: 0 })
    }
    expected = startTicks + durationTicks
  }
  return runs.map(({ t, d, r }) => {
    const attributes: Attributes = {}
    if (t !== undefined) attributes.t = t
    attributes.d = d
    if (r > 0) attributes.r = r
    return element('S', attributes)
  })
}

const commonRates: readonly [number, string][] = [
  [23.976, '24000/1001'],
  [29.97, '30000/1001'],
  [59.94, '60000/1001'],
  [119.88, '120000/1001'],
]

function frameRate(framesPerSecond: number): string {
  const broadcast = commonRates.find(([rate]) => Math.abs(rate - framesPerSecond) < 0.01)
  if (broadcast) return broadcast[1]
  const whole = Math.round(framesPerSecond)
  return Math.abs(whole - framesPerSecond) < 0.05
    ? String(whole)
    : `${Math.round(framesPerSecond * 1000)}/1000`
}

/** xs:duration. */
function seconds(value: number): string {
  return `PT${Number(value.toFixed(6))}S`
}

type Attributes = Record<string, string | number>

function element(name: string, attributes: Attributes, children: readonly string[] = []): string {
  const written = Object.entries(attributes)
    .map(([key, value]) => ` ${key}="${escapeXml(String(value))}"`)
    .join('')
  if (children.length === 0) return `<${name}${written}/>`
  return `<${name}${written}>${children.join('')}</${name}>`
}

function escapeXml(text: string): string {
  return text.replace(/[&<>"]/g, (char) => `&#${char.charCodeAt(0)};`)
}
