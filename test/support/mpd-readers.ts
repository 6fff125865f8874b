// Judges of our MPDs that others have written: mpd-parser, and the schema where it is at hand.
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
// @ts-expect-error It has no types.
import { parse, parseUTCTiming } from 'mpd-parser'

export const mpdUrl = 'https://edge.example/live/demo/manifest.mpd'

export interface MpdReading {
  /** Complaints; none is expected. */
  complaints: string[]
  /** Of the clock, resolved. */
  timeUrl: string | undefined
  isStatic: boolean
  /** By rendition name: paths of media segments from the folder of the MPD on. */
  segments: Record<string, string[]>
}

interface ParsedPlaylist {
  attributes: { NAME: string }
  endList: boolean
  segments: { resolvedUri: string }[]
}

export function readWithMpdParser(text: string, nowMs = 0): MpdReading {
  const complaints: string[] = []
  const manifest = parse(text, {
    manifestUri: mpdUrl,
    NOW: nowMs,
    eventHandler: ({ message }: { message: string }) => complaints.push(message),
  }) as {
    playlists: ParsedPlaylist[]
    mediaGroups: { AUDIO: { audio?: Record<string, { playlists: ParsedPlaylist[] }> } }
    minimumUpdatePeriod?: number
  }
  const groups = Object.values(manifest.mediaGroups.AUDIO.audio ?? {})
  const playlists = [...manifest.playlists, ...groups.flatMap((it) => it.playlists)]
  const folder = new URL('.', mpdUrl).href
  const timing = parseUTCTiming(text, mpdUrl) as { value: string } | null
  return {
    complaints,
    timeUrl: timing ? new URL(timing.value, mpdUrl).href : undefined,
    isStatic: manifest.minimumUpdatePeriod === undefined,
    segments: Object.fromEntries(
      playlists.map((it) => [
        it.attributes.NAME,
        it.segments.map(({ resolvedUri }) => resolvedUri.replace(folder, '')),
      ]),
    ),
  }
}

/** From MPEGGroup/DASHSchema, with xlink.xsd beside it; under terms that forbid to keep it here. */
const schema = fileURLToPath(new URL('../../.nearcast/schemas/DASH-MPD.xsd', import.meta.url))

/** Whether xmllint is installed and somebody has put the schema in its place. */
export function canCheckSchema(): boolean {
  return existsSync(schema) && spawnSync('xmllint', ['--version']).status === 0
}

/** What xmllint has against an MPD. */
export function schemaFaults(text: string): string[] {
  const { status, stderr } = spawnSync('xmllint', ['--nonet', '--noout', '--schema', schema, '-'], {
    input: text,
    encoding: 'utf8',
  })
  return status === 0 ? [] : stderr.split('\n').filter(Boolean)
}
