// Makes the Playlist Delta Update (RFC 8216bis §6.2.5.1) of a whole media playlist from its text, as the one who wrote
// it would have: what is left keeps its lines.
import { readAttributes } from './playlist-reader.ts'

interface Entry {
  lines: string[]
  seconds: number
  isGap: boolean
  uri: string
}

/** EXT-X-SKIP needs it (§8). */
const versionOfSkip = 9
const headTags =
  /^#(?:EXTM3U$|EXT-X-(?:VERSION|TARGETDURATION|MEDIA-SEQUENCE|DISCONTINUITY-SEQUENCE|INDEPENDENT-SEGMENTS|I-FRAMES-ONLY|PLAYLIST-TYPE|SERVER-CONTROL|PART-INF|START)(?::|$))/
// Date ranges are skipped by rules of their own, and keys hold on like init sections.
const unskippable = /^#EXT-X-(?:DATERANGE|KEY|BITRATE|ENDLIST|SKIP)(?::|$)/m

/**
 * Without the segments that end before the skip boundary, measured from the end of the last complete one. The text as it
 * is where nothing can be skipped; a client must take a whole playlist for a delta.
 */
export function deltaUpdate(text: string, skipUntilSeconds: number): string {
  if (text.includes('\r') || unskippable.test(text)) return text
  const { head, entries, tail } = split(text)
  const count = skippable(entries, skipUntilSeconds)
  if (count === 0) return text
  const skip = `#EXT-X-SKIP:SKIPPED-SEGMENTS=${count}`
  const kept = entries.slice(count)
  restoreMap(entries.slice(0, count), kept)
  return `${[...head.map(raiseVersion), skip, ...kept.flatMap(({ lines }) => lines), ...tail].join('\n')}\n`
}

function split(text: string): { head: string[]; entries: Entry[]; tail: string[] } {
  const lines = text.slice(0, -1).split('\n')
  const from = lines.findIndex((line) => !headTags.test(line))
  const entries: Entry[] = []
  let entry: Entry = { lines: [], seconds: 0, isGap: false, uri: '' }
  for (const line of from < 0 ? [] : lines.slice(from)) {
    entry.lines.push(line)
    if (line.startsWith('#EXTINF:')) entry.seconds = Number.parseFloat(line.slice(8))
    else if (line === '#EXT-X-GAP') entry.isGap = true
    else if (!line.startsWith('#')) {
      entries.push({ ...entry, uri: line })
      entry = { lines: [], seconds: 0, isGap: false, uri: '' }
    }
  }
  return { head: from < 0 ? lines : lines.slice(0, from), entries, tail: entry.lines }
}

/** How many of the oldest have the reach or more behind them. */
function skippable(entries: readonly Entry[], reachSeconds: number): number {
  let index = entries.length
  let seconds = 0
  while (index > 0 && seconds < reachSeconds) {
    index--
    seconds += entries[index]!.seconds
  }
  return index
}

/** The first segment that is left names the init section that was in force; not a gap that belongs to another take. */
function restoreMap(skipped: readonly Entry[], kept: readonly Entry[]): void {
  const inForce = skipped.flatMap(({ lines }) => lines).findLast(isMap)
  if (inForce === undefined) return
  const folder = folderOf(readAttributes(inForce.slice(inForce.indexOf(':') + 1))?.get('URI') ?? '')
  for (const { lines, isGap, uri } of kept) {
    if (lines.some(isMap)) return
    if (isGap && folderOf(uri) !== folder) continue
    lines.splice(lines[0] === '#EXT-X-DISCONTINUITY' ? 1 : 0, 0, inForce)
    return
  }
}

function isMap(line: string): boolean {
  return line.startsWith('#EXT-X-MAP:')
}

function folderOf(uri: string): string {
  return uri.slice(0, uri.lastIndexOf('/') + 1)
}

function raiseVersion(line: string): string {
  const version = /^#EXT-X-VERSION:(\d+)$/.exec(line)?.[1]
  return version === undefined || Number(version) >= versionOfSkip
    ? line
    : `#EXT-X-VERSION:${versionOfSkip}`
}
