// Writes a DASH MPD (ISO/IEC 23009-1) with one Period per take, live or static. Attributes and elements stand in
// the order of the schema.
import { type Attributes, element, isoDuration } from './xml.ts'

export interface MpdSegment {
  startTicks: number
  durationTicks: number
}

/** Segments of one length, so that a client can tell a number from the time (§5.3.9.5.3). */
export interface MpdGrid {
  segmentSeconds: number
  /** So long before its end a segment can be asked for; its bytes come as they are made (§5.3.9.2). */
  availabilityTimeOffsetSeconds?: number
}

/** Each segment's own time, or a grid from the start of the Period on. */
export type MpdAddressing =
  | { segments: readonly MpdSegment[]; grid?: never }
  | { grid: MpdGrid; segments?: never }

export type MpdRepresentation = MpdAddressing & {
  id: string
  bitsPerSecond: number
  codec: string
  timescale: number
  /** Relative URI with $Number$ in it. */
  mediaTemplate: string
  initializationUri: string
  /** Of the first segment in the list, or of the one at the start of the Period. */
  startNumber: number
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
  /** When the media at its start was made, on the wall clock (§5.12). */
  producedAtMs?: number
  video: readonly MpdRepresentation[]
  audio: readonly MpdRepresentation[]
}

export interface LiveMpd {
  availabilityStartTimeMs: number
  publishTimeMs: number
  minimumUpdatePeriodSeconds: number
  timeShiftBufferDepthSeconds: number
  suggestedPresentationDelaySeconds?: number
  /** Relative URI that answers the time in ISO form. */
  timeUri: string
  /** What players should aim at (Annex K). */
  service?: MpdService
}

export interface MpdService {
  targetLatencyMs: number
  minLatencyMs: number
  maxLatencyMs: number
  minPlaybackRate: number
  maxPlaybackRate: number
}

export interface Mpd {
  /** Absent: the presentation is static. */
  live?: LiveMpd
  /** Of a static presentation. */
  durationSeconds?: number
  maxSegmentSeconds: number
  periods: readonly MpdPeriod[]
}

const liveProfile = 'urn:mpeg:dash:profile:isoff-live:2011'
const onDemandProfile = 'urn:mpeg:dash:profile:isoff-on-demand:2011'
const lowLatencyProfile = 'http://www.dashif.org/guidelines/low-latency-live-v5'

/** Of the ProducerReferenceTime in the first AdaptationSet of each Period. */
const referenceId = 1

export function writeMpd(mpd: Mpd): string {
  const { live, periods } = mpd
  const root: Attributes = {
    xmlns: 'urn:mpeg:dash:schema:mpd:2011',
    profiles: profiles(mpd),
    type: live ? 'dynamic' : 'static',
  }
  if (live) {
    root.availabilityStartTime = new Date(live.availabilityStartTimeMs).toISOString()
    root.publishTime = new Date(live.publishTimeMs).toISOString()
    root.minimumUpdatePeriod = isoDuration(live.minimumUpdatePeriodSeconds)
    root.timeShiftBufferDepth = isoDuration(live.timeShiftBufferDepthSeconds)
    if (live.suggestedPresentationDelaySeconds !== undefined) {
      root.suggestedPresentationDelay = isoDuration(live.suggestedPresentationDelaySeconds)
    }
  } else {
    root.mediaPresentationDuration = isoDuration(mpd.durationSeconds ?? 0)
  }
  root.maxSegmentDuration = isoDuration(mpd.maxSegmentSeconds)
  root.minBufferTime = 'PT2S'

  const children: string[] = []
  if (live?.service) children.push(writeService(live.service))
  children.push(...periods.map((it) => writePeriod(it, live?.timeUri)))
  if (live) children.push(utcTiming(live.timeUri))
  return `<?xml version="1.0" encoding="UTF-8"?>\n${element('MPD', root, children)}\n`
}

function profiles({ live, periods }: Mpd): string {
  if (!live) return `${liveProfile},${onDemandProfile}`
  const newest = periods.at(-1)
  const representations = newest ? [...newest.video, ...newest.audio] : []
  const isLowLatency = representations.some((it) => it.grid?.availabilityTimeOffsetSeconds)
  return isLowLatency ? `${liveProfile},${lowLatencyProfile}` : liveProfile
}

function utcTiming(timeUri: string): string {
  return element('UTCTiming', { schemeIdUri: 'urn:mpeg:dash:utc:http-iso:2014', value: timeUri })
}

function writeService(service: MpdService): string {
  return element('ServiceDescription', { id: 0 }, [
    element('Latency', {
      referenceId,
      target: service.targetLatencyMs,
      max: service.maxLatencyMs,
      min: service.minLatencyMs,
    }),
    element('PlaybackRate', { max: service.maxPlaybackRate, min: service.minPlaybackRate }),
  ])
}

function writePeriod(period: MpdPeriod, timeUri: string | undefined): string {
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
    const time = referenceTime(period, period.video, referenceId, timeUri)
    sets.push(adaptationSet(attributes, period, period.video, time))
  }
  if (period.audio.length > 0) {
    const attributes = {
      id: '1',
      contentType: 'audio',
      mimeType: 'audio/mp4',
      segmentAlignment: 'true',
      startWithSAP: '1',
    }
    const time = referenceTime(period, period.audio, referenceId + sets.length, timeUri)
    sets.push(adaptationSet(attributes, period, period.audio, time))
  }
  const attributes: Attributes = { id: period.id, start: isoDuration(period.startSeconds) }
  if (period.durationSeconds !== undefined) {
    attributes.duration = isoDuration(period.durationSeconds)
  }
  return element('Period', attributes, sets)
}

function referenceTime(
  { mediaStartSeconds, producedAtMs }: MpdPeriod,
  [first]: readonly MpdRepresentation[],
  id: number,
  timeUri: string | undefined,
): string[] {
  if (producedAtMs === undefined || timeUri === undefined || !first) return []
  const attributes = {
    id,
    type: 'encoder',
    wallClockTime: new Date(producedAtMs).toISOString(),
    presentationTime: Math.round(mediaStartSeconds * timescaleOf(first)),
  }
  return [element('ProducerReferenceTime', attributes, [utcTiming(timeUri)])]
}

function adaptationSet(
  attributes: Attributes,
  period: MpdPeriod,
  representations: readonly MpdRepresentation[],
  time: readonly string[],
): string {
  const role = element('Role', { schemeIdUri: 'urn:mpeg:dash:role:2011', value: 'main' })
  const written = representations.map((it) => writeRepresentation(it, period))
  return element('AdaptationSet', attributes, [...time, role, ...written])
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
  children.push(segmentTemplate(it, period))
  return element('Representation', attributes, children)
}

function segmentTemplate(it: MpdRepresentation, { mediaStartSeconds }: MpdPeriod): string {
  const timescale = timescaleOf(it)
  const attributes: Attributes = {
    timescale,
    presentationTimeOffset: Math.round(mediaStartSeconds * timescale),
  }
  if (it.grid) {
    const { segmentSeconds, availabilityTimeOffsetSeconds } = it.grid
    if (availabilityTimeOffsetSeconds !== undefined) {
      attributes.availabilityTimeOffset = Number(availabilityTimeOffsetSeconds.toFixed(6))
      attributes.availabilityTimeComplete = 'false'
    }
    attributes.duration = Math.round(segmentSeconds * timescale)
  }
  attributes.startNumber = it.startNumber
  attributes.media = it.mediaTemplate
  attributes.initialization = it.initializationUri
  if (it.grid) return element('SegmentTemplate', attributes)
  const list = element('SegmentTimeline', {}, timeline(it.segments))
  return element('SegmentTemplate', attributes, [list])
}

/** 100 ns: numbers are wrong by two milliseconds after a day at the worst. */
const fineTimescale = 10_000_000

/** The track's own, unless it cannot tell the length of a segment exactly: numbers would drift from the times. */
function timescaleOf({ timescale, grid }: MpdRepresentation): number {
  const ticks = grid ? grid.segmentSeconds * timescale : 0
  return Math.abs(ticks - Math.round(ticks)) < 1e-4 ? timescale : fineTimescale
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
