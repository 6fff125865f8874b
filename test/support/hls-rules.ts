// The rules of live playlists (RFC 8216bis draft 22), held against the text that a server has sent. Nothing here
// knows how playlists are made; each fault is a sentence that names the clause.
//
// - `playlistFaults(text)`: one playlist, media or multivariant, whole or a delta.
// - `checkPlaylistEdit(before, after)`: two versions of one media playlist, the first one whole. Versions between
//   them may have been missed.
// - `playlistSetFaults(texts)`: the media playlists of one broadcast, fetched at about the same time.

import {
  attributesOf,
  type LivePart,
  type LivePlaylist,
  type LiveSegment,
  readLivePlaylist,
} from './hls-text.ts'

/** Durations are written with five decimals. */
const roundingSeconds = 0.000_02
/** Dates have milliseconds, audio and video boundaries differ by a frame of sound. */
const dateToleranceMs = 60

export function playlistFaults(text: string): string[] {
  if (!text.startsWith('#EXTM3U\n')) return ['does not begin with EXTM3U (§4.4.1.1)']
  return text.includes('#EXT-X-STREAM-INF:')
    ? [...multivariantFaults(text)]
    : [...mediaFaults(readLivePlaylist(text), text)]
}

function* mediaFaults(playlist: LivePlaylist, text: string): Generator<string> {
  const { targetDuration, segments, isEnded, tagOrder } = playlist
  if (!Number.isInteger(targetDuration)) yield 'no EXT-X-TARGETDURATION (§4.4.3.1)'
  if (!playlist.hasIndependentSegments) yield 'no EXT-X-INDEPENDENT-SEGMENTS'
  if (playlist.discontinuitySequence === undefined) yield 'no EXT-X-DISCONTINUITY-SEQUENCE'
  if (playlist.type !== undefined && !isEnded) yield 'a live playlist has a type (§6.2.1)'
  const place = (tag: string) => tagOrder.indexOf(tag)
  for (const tag of ['EXT-X-SKIP', 'EXT-X-PART', 'EXTINF']) {
    if (place(tag) >= 0 && place('EXT-X-MEDIA-SEQUENCE') > place(tag)) {
      yield `EXT-X-MEDIA-SEQUENCE stands behind ${tag} (§4.4.3.2)`
    }
    if (place(tag) >= 0 && place('EXT-X-DISCONTINUITY-SEQUENCE') > place(tag)) {
      yield `EXT-X-DISCONTINUITY-SEQUENCE stands behind ${tag} (§4.4.3.3)`
    }
  }
  for (const once of ['VERSION', 'TARGETDURATION', 'SERVER-CONTROL', 'PART-INF', 'SKIP']) {
    if (text.split(`#EXT-X-${once}:`).length > 2) yield `EXT-X-${once} stands there twice`
  }
  if (segments.length === 0) yield 'has no segment'
  yield* versionFaults(playlist)
  yield* controlFaults(playlist)
  yield* skipFaults(playlist)
  yield* hintFaults(playlist)
  for (const [index, segment] of segments.entries()) {
    yield* segmentFaults(segment, segments[index - 1], playlist)
    if (segment.uri === undefined && index < segments.length - 1)
      yield 'an open segment is not last'
  }
  yield* partIdFaults(segments)
}

function* versionFaults({
  version,
  segments,
  skippedSegments,
  hasOnlyKeyframes,
  ...rest
}: LivePlaylist): Generator<string> {
  const hasGap = segments.some((it) => it.isGap)
  const needed = skippedSegments > 0 ? 9 : hasGap ? 8 : hasOnlyKeyframes ? 5 : 6
  if (version < needed) yield `version ${version} where ${needed} is needed (§8)`
  // Where there may be a gap in the next version of the playlist, 8 is in place already.
  const allowed = rest.isEnded
    ? Math.max(needed, 8)
    : rest.serverControl
      ? Math.max(needed, 8)
      : needed
  if (version > allowed) yield `version ${version} where ${allowed} would do (§8)`
}

function* controlFaults({
  serverControl,
  partTarget,
  targetDuration,
  segments,
}: LivePlaylist): Generator<string> {
  const hasParts = segments.some((it) => it.parts.length > 0)
  if (hasParts && !(partTarget! > 0)) yield 'parts without EXT-X-PART-INF (§4.4.3.7)'
  if (!serverControl) {
    if (hasParts) yield 'parts without EXT-X-SERVER-CONTROL (§4.4.3.8)'
    return
  }
  const seconds = (name: string) => Number(serverControl[name])
  if (hasParts && serverControl['CAN-BLOCK-RELOAD'] !== 'YES') yield 'cannot block reloads'
  if (partTarget && !(seconds('PART-HOLD-BACK') >= 3 * partTarget - roundingSeconds)) {
    yield 'PART-HOLD-BACK is below three part targets (§4.4.3.8)'
  }
  if (serverControl['HOLD-BACK'] && seconds('HOLD-BACK') < 3 * targetDuration) {
    yield 'HOLD-BACK is below three target durations (§4.4.3.8)'
  }
  if (serverControl['CAN-SKIP-UNTIL'] && seconds('CAN-SKIP-UNTIL') < 6 * targetDuration) {
    yield 'CAN-SKIP-UNTIL is below six target durations (§4.4.3.8)'
  }
}

function* skipFaults({
  skippedSegments,
  segments,
  serverControl,
  isEnded,
}: LivePlaylist): Generator<string> {
  if (skippedSegments === 0) return
  if (!(skippedSegments > 0)) yield 'EXT-X-SKIP without SKIPPED-SEGMENTS (§4.4.5.2)'
  if (isEnded) yield 'skips segments of a playlist that has ended'
  const boundary = Number(serverControl?.['CAN-SKIP-UNTIL'])
  if (!(secondsOfComplete(segments) >= boundary - 0.001)) {
    yield 'skips segments within the skip boundary (§6.2.5.1)'
  }
}

function* hintFaults({ hints, reports, segments, isEnded }: LivePlaylist): Generator<string> {
  const types = hints.map((it) => it.TYPE)
  if (new Set(types).size < types.length) yield 'two hints of one type (§4.4.5.3)'
  if (isEnded && hints.length > 0) yield 'hints at a part after the end (§4.4.5.3)'
  const listed = segments.flatMap((it) => it.parts.map((part) => part.uri))
  for (const { URI: uri = '' } of hints) {
    if (listed.includes(uri)) yield `hints at ${uri}, which is listed (§4.4.5.3)`
    if (!isRelative(uri)) yield `${uri} is not relative`
    const map = segments.at(-1)?.mapUri
    if (map !== undefined && splitPart(uri)[0] !== map.replace(/[^/]*$/, '')) {
      yield `hints at ${uri} where ${map} is in force (§4.4.4.5)`
    }
  }
  const uris = reports.map((it) => it.uri)
  if (new Set(uris).size < uris.length) yield 'two reports of one rendition (§4.4.5.4)'
  for (const { uri, lastNumber, lastPart } of reports) {
    if (!isRelative(uri)) yield `${uri} is not relative (§4.4.5.4)`
    if (!Number.isInteger(lastNumber)) yield `the report of ${uri} has no LAST-MSN (§4.4.5.4)`
    if (lastPart !== undefined && !Number.isInteger(lastPart)) yield `LAST-PART of ${uri}`
  }
}

function* segmentFaults(
  segment: LiveSegment,
  before: LiveSegment | undefined,
  { targetDuration, partTarget, hasOnlyKeyframes }: LivePlaylist,
): Generator<string> {
  const name = segment.uri ?? `open segment ${segment.number}`
  if (!(segment.seconds > 0)) yield `${name} has no duration`
  if (Math.round(segment.seconds) > targetDuration)
    yield `${name} is longer than the target (§4.4.3.1)`
  if (segment.dateMs === undefined) yield `${name} has no date`
  if (segment.uri !== undefined && !isRelative(segment.uri)) yield `${name} is not relative`
  if (segment.mapUri === undefined && !segment.isGap) yield `${name} has no init section (§4.4.4.5)`
  if (segment.hasLateTag) yield `${name} has a tag behind its first part that belongs before it`
  const named = /(\d+)\.m4s$/.exec(segment.uri ?? '')?.[1]
  if (named !== undefined && Number(named) !== segment.number)
    yield `${name} has number ${segment.number}`
  if (hasOnlyKeyframes && !segment.isGap && !/^[1-9]\d*@\d+$/.test(segment.byteRange ?? '')) {
    yield `${name} has no range of a keyframe (§4.4.3.6)`
  }
  yield* partFaults(segment, name, partTarget)
  if (!before || segment.hasDiscontinuity) return
  if (segment.mapUri !== before.mapUri && before.mapUri !== undefined) {
    yield `${name} has a new init section without a discontinuity`
  }
  const seamMs = segment.dateMs! - before.dateMs! - before.seconds * 1000
  if (Math.abs(seamMs) > dateToleranceMs) yield `${name} is ${Math.round(seamMs)} ms off its date`
}

function* partFaults(
  { parts, isGap, ...segment }: LiveSegment,
  name: string,
  partTarget = 0,
): Generator<string> {
  if (parts.length === 0) return
  if (isGap && !parts.every((it) => it.isGap)) yield `${name} is a gap with parts that are none`
  const isOpen = segment.uri === undefined
  if (!parts[0]!.isIndependent && !parts[0]!.isGap) yield `${name} does not start independently`
  for (const [index, part] of parts.entries()) {
    if (!isRelative(part.uri)) yield `${part.uri} is not relative`
    if (!(part.seconds > 0)) yield `${part.uri} has no duration`
    if (part.seconds > partTarget + 1e-9)
      yield `${part.uri} is longer than the part target (§4.4.3.7)`
    const next = parts[index + 1]
    const mayBeShort =
      part.isIndependent || part.isGap || next?.isGap || (next === undefined && !isOpen)
    // Whether the newest part of an open segment is its last one is not known yet.
    if (!mayBeShort && next !== undefined && part.seconds < 0.85 * partTarget - roundingSeconds) {
      yield `${part.uri} is shorter than 85 % of the part target (§4.4.4.9)`
    }
  }
  const sum = parts.reduce((total, part) => total + part.seconds, 0)
  if (!isOpen && Math.abs(sum - segment.seconds) > parts.length * roundingSeconds) {
    yield `${name} lasts ${segment.seconds} s, its parts ${sum.toFixed(5)} s`
  }
}

/** Ours: parts are counted without a hole within a folder (Safari stops at one). */
function* partIdFaults(segments: readonly LiveSegment[]): Generator<string> {
  // Those of a gap segment never were, and are not counted.
  const parts = segments.flatMap((it) => (it.isGap ? [] : it.parts))
  for (const [index, part] of parts.entries()) {
    const [folder, id] = splitPart(part.uri)
    const [folderBefore, idBefore] = splitPart(parts[index - 1]?.uri ?? '')
    if (folder === folderBefore && id !== idBefore + 1) yield `${part.uri} follows part ${idBefore}`
  }
}

function splitPart(uri: string): [folder: string, id: number] {
  const [, folder = '', id] = /^(.*\/)?p(\d+)\.m4s$/.exec(uri) ?? []
  return [folder, Number(id)]
}

/** Of two versions of one media playlist; `before` must be whole, `after` may be a delta update. */
export function checkPlaylistEdit(before: string, after: string): string[] {
  return [...editFaults(readLivePlaylist(before), readLivePlaylist(after), before === after)]
}

function* editFaults(old: LivePlaylist, now: LivePlaylist, isSame: boolean): Generator<string> {
  if (isSame) return
  if (old.skippedSegments > 0) throw new Error('the version before must be whole')
  if (old.isEnded && now.skippedSegments === 0) yield 'changed after EXT-X-ENDLIST (§6.2.1)'
  const constants = ['targetDuration', 'partTarget', 'type', 'hasOnlyKeyframes'] as const
  for (const name of constants) {
    if (old[name] !== now[name]) yield `${name} went from ${old[name]} to ${now[name]} (§6.2.1)`
  }
  if (now.skippedSegments === 0 && old.version !== now.version) {
    yield `the version went from ${old.version} to ${now.version} (§6.2.1)`
  }
  if (JSON.stringify(old.serverControl) !== JSON.stringify(now.serverControl)) {
    yield 'EXT-X-SERVER-CONTROL has changed (§6.2.1)'
  }

  const removed = now.mediaSequence - old.mediaSequence
  if (removed < 0) yield `the media sequence fell by ${-removed} (§6.2.2)`
  if (lastNumber(now) < lastNumber(old)) yield 'segments have left at the end (§6.2.1)'
  const oldNumbers = new Set(old.segments.map((it) => it.number))
  const isOverlapping = now.segments.some((it) => oldNumbers.has(it.number))
  const lost = old.segments.filter((it) => it.number < now.mediaSequence)
  const lostDiscontinuities = lost.filter((it) => it.hasDiscontinuity).length
  const grown = (now.discontinuitySequence ?? 0) - (old.discontinuitySequence ?? 0)
  if (isOverlapping ? grown !== lostDiscontinuities : grown < lostDiscontinuities) {
    yield `the discontinuity sequence grew by ${grown}, ${lostDiscontinuities} have left (§6.2.2)`
  }
  const skipped = old.segments.filter(
    (it) => it.number >= now.mediaSequence && it.number < now.mediaSequence + now.skippedSegments,
  )
  if (skipped.length < now.skippedSegments) yield 'a delta skips what was not there before'
  const complete = secondsOfComplete([...skipped, ...now.segments])
  if (removed > 0 && !now.isEnded && complete < 3 * now.targetDuration - 0.001) {
    yield `${complete.toFixed(2)} s are left, less than three target durations (§6.2.2)`
  }
  yield* segmentEditFaults(old, now)
  yield* hintEditFaults(old, now)
  for (const report of now.reports) {
    const earlier = old.reports.find((it) => it.uri === report.uri)
    if (earlier && report.lastNumber < earlier.lastNumber) yield `the report of ${report.uri} fell`
  }
}

function* segmentEditFaults(old: LivePlaylist, now: LivePlaylist): Generator<string> {
  const bySegment = new Map(now.segments.map((it) => [it.number, it]))
  const endSeconds = (from: number) =>
    now.segments.filter((it) => it.number > from).reduce((sum, it) => sum + it.seconds, 0)
  for (const was of old.segments) {
    const is = bySegment.get(was.number)
    if (!is) continue
    const name = was.uri ?? `open segment ${was.number}`
    // A gap may be listed without an init section; the one in force there leaves with the segments before.
    const head = (it: LiveSegment) =>
      JSON.stringify([it.hasDiscontinuity, it.isGap || it.mapUri, it.dateMs])
    if (head(was) !== head(is)) yield `the tags of ${name} have changed (§6.2.1)`
    if (was.uri !== undefined) {
      const body = (it: LiveSegment) => JSON.stringify([it.uri, it.seconds, it.isGap, it.byteRange])
      if (body(was) !== body(is)) yield `${name} has changed (§6.2.1)`
    }
    const parts = (list: readonly LivePart[]) => list.map((it) => JSON.stringify(it))
    const oldParts = parts(was.parts)
    const newParts = parts(is.parts)
    if (was.uri === undefined) {
      const isKept = oldParts.every((part, index) => newParts[index] === part)
      const mayLeave = now.isEnded || endSeconds(was.number) >= 3 * now.targetDuration
      if (!isKept && !(newParts.length === 0 && is.uri !== undefined && mayLeave)) {
        yield `parts of ${name} have changed (§6.2.1)`
      }
      continue
    }
    if (newParts.length > oldParts.length) yield `${name} got parts after it was complete`
    const suffix = oldParts.slice(oldParts.length - newParts.length)
    if (newParts.some((part, index) => part !== suffix[index]))
      yield `parts of ${name} have changed`
    if (newParts.length < oldParts.length && !now.isEnded) {
      if (endSeconds(was.number) < 3 * now.targetDuration - 0.001) {
        yield `parts of ${name} left within three target durations of the end (§6.2.2)`
      }
    }
  }
}

/** The part that comes next is the one that was hinted at, unless it comes in another take. */
function* hintEditFaults(old: LivePlaylist, now: LivePlaylist): Generator<string> {
  const hint = old.hints.find((it) => it.TYPE === 'PART')?.URI
  if (hint === undefined) return
  const uris = (list: readonly LiveSegment[]) =>
    list.flatMap((it) => it.parts.map((part) => part.uri))
  const listed = uris(old.segments)
  const lastListed = listed.at(-1)
  const [folder, id] = splitPart(hint)
  const next = uris(now.segments.filter((it) => it.number >= lastNumber(old))).find(
    (uri) => !listed.includes(uri) && splitPart(uri)[0] === folder,
  )
  if (next === undefined || next === hint) return
  // Parts between may have come and left again, if versions were missed; then the last one that we knew has left too.
  const areMissed = lastListed === undefined || !uris(now.segments).includes(lastListed)
  if (splitPart(next)[1] < id || !areMissed) {
    yield `${next} came where ${hint} was hinted at (§4.4.5.3)`
  }
}

/** Of the media playlists of one broadcast, by name, those of keyframes included. */
export function playlistSetFaults(texts: Readonly<Record<string, string>>): string[] {
  const faults: string[] = []
  const playlists = Object.entries(texts).map(([name, text]) => ({
    name,
    ...readLivePlaylist(text),
  }))
  const first = playlists[0]
  for (const playlist of playlists) {
    const { name } = playlist
    if (playlist.targetDuration !== first!.targetDuration) {
      faults.push(`${name} has another target duration than ${first!.name} (§6.2.4)`)
    }
    if (JSON.stringify(playlist.serverControl) !== JSON.stringify(first!.serverControl)) {
      faults.push(`${name} has another EXT-X-SERVER-CONTROL than ${first!.name} (§4.4.3.8)`)
    }
    const ours = discontinuitiesByNumber(playlist)
    const theirs = discontinuitiesByNumber(first!)
    for (const segment of playlist.segments) {
      const other = first!.segments.find((it) => it.number === segment.number)
      if (!other) continue
      if (ours.get(segment.number) !== theirs.get(segment.number)) {
        faults.push(
          `${name} counts other discontinuities at ${segment.number} than ${first!.name} (§6.2.4)`,
        )
      }
      if (Math.abs(segment.dateMs! - other.dateMs!) > dateToleranceMs) {
        faults.push(`${name} dates ${segment.number} otherwise than ${first!.name} (§6.2.4)`)
      }
    }
  }
  return faults
}

/** The discontinuity sequence number of each segment (§4.4.3.3). */
export function discontinuitiesByNumber(playlist: LivePlaylist): Map<number, number> {
  let count = playlist.discontinuitySequence ?? 0
  return new Map(
    playlist.segments.map((it) => {
      if (it.hasDiscontinuity) count++
      return [it.number, count]
    }),
  )
}

function* multivariantFaults(text: string): Generator<string> {
  const lines = text.trimEnd().split('\n')
  const tags = (name: string) =>
    lines.flatMap((line, index) =>
      line.startsWith(`#${name}:`) ? [{ ...attributesOf(line), next: lines[index + 1] ?? '' }] : [],
    ) as (Record<string, string> & { next: string })[]
  const variants = tags('EXT-X-STREAM-INF')
  const media = tags('EXT-X-MEDIA')
  const keyframes = tags('EXT-X-I-FRAME-STREAM-INF')
  if (!lines.includes('#EXT-X-INDEPENDENT-SEGMENTS')) yield 'no EXT-X-INDEPENDENT-SEGMENTS'
  const version = Number(/#EXT-X-VERSION:(\d+)/.exec(text)?.[1] ?? 1)
  if (version > 7) yield `version ${version} is not needed (§8)`
  for (const it of [...variants, ...keyframes]) {
    const uri = it.URI ?? it.next
    if (!isRelative(uri)) yield `${uri} is not relative`
    if (!(Number(it.BANDWIDTH) >= 1)) yield `${uri} has no BANDWIDTH (§4.4.6.2)`
    if (!(Number(it['AVERAGE-BANDWIDTH']) <= Number(it.BANDWIDTH))) {
      yield `${uri} has an average bandwidth above its peak`
    }
    const codecs = it.CODECS ?? ''
    if (codecs === '') yield `${uri} names no codecs (§4.4.6.2)`
    if (/avc1|hvc1/.test(codecs) && it.RESOLUTION === undefined) yield `${uri} has no RESOLUTION`
    if (it['STABLE-VARIANT-ID'] === undefined) yield `${uri} has no STABLE-VARIANT-ID`
  }
  for (const it of variants) {
    const codecs = it.CODECS ?? ''
    if (/avc1|hvc1/.test(codecs) && it['FRAME-RATE'] === undefined)
      yield `${it.next} has no FRAME-RATE`
    const group = it.AUDIO
    if (group === undefined) continue
    if (!media.some((audio) => audio.TYPE === 'AUDIO' && audio['GROUP-ID'] === group)) {
      yield `${it.next} names a group that is not there (§4.4.6.2.1)`
    }
    if (!codecs.includes('mp4a.'))
      yield `${it.next} does not name the codec of its sound (§4.4.6.2)`
  }
  for (const it of media) {
    if (it['STABLE-RENDITION-ID'] === undefined) yield `${it.URI} has no STABLE-RENDITION-ID`
    if (!isRelative(it.URI ?? '')) yield `${it.URI} is not relative`
  }
  const ids = [...variants, ...keyframes].map((it) => it['STABLE-VARIANT-ID'])
  if (new Set(ids).size < ids.length) yield 'two variants have one stable id'
}

function isRelative(uri: string): boolean {
  return uri !== '' && !uri.startsWith('/') && !/^[a-z]+:/i.test(uri)
}

function lastNumber(playlist: LivePlaylist): number {
  return playlist.segments.at(-1)?.number ?? playlist.mediaSequence - 1
}

function secondsOfComplete(segments: readonly LiveSegment[]): number {
  return segments.filter((it) => it.uri !== undefined).reduce((sum, it) => sum + it.seconds, 0)
}
