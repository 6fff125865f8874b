// Writes all HLS playlists of a broadcast after each change, as any viewer could get them, and collects what
// breaks the rules.
import {
  liveIframePlaylist,
  liveMediaPlaylist,
  liveMultivariant,
} from '../../common/live/hls-live.ts'
import type { LiveBroadcast } from '../../common/live/live-broadcast.ts'
import { checkPlaylistEdit, playlistFaults, playlistSetFaults } from './hls-rules.ts'
import { readLivePlaylist } from './hls-text.ts'

/** Changes between two looks at what all playlists have in common, and between the versions of a slow viewer. */
const rareChanges = 7

/** The set grows as faults are found. */
export function watchPlaylists(broadcast: LiveBroadcast): ReadonlySet<string> {
  const faults = new Set<string>()
  const latest = new Map<string, string>()
  const older = new Map<string, string>()
  let changes = 0
  const add = (key: string, found: readonly string[]) => {
    for (const fault of found) faults.add(`${key}: ${fault}`)
  }
  const look = (key: string, text: string | undefined, delta: string | undefined) => {
    const before = latest.get(key)
    // A playlist of keyframes is empty while the first segment is open.
    if (!text?.includes('.m4s') || text === before) return
    latest.set(key, text)
    add(key, [...playlistFaults(text), ...absentMedia(broadcast, text)])
    if (before === undefined) return
    add(key, checkPlaylistEdit(before, text))
    if (delta !== text) add(key, [...playlistFaults(delta!), ...checkPlaylistEdit(before, delta!)])
    const old = older.get(key)
    if (old !== undefined && changes % rareChanges === 0) add(key, checkPlaylistEdit(old, text))
    if (changes % rareChanges === 0) older.set(key, text)
  }
  broadcast.onChange(() => {
    changes++
    const skip = { skip: 'v2' } as const
    for (const name of broadcast.playlistNames) {
      look(name, liveMediaPlaylist(broadcast, name), liveMediaPlaylist(broadcast, name, skip))
      const keyframes = liveIframePlaylist(broadcast, name)
      look(`${name}-iframes`, keyframes, liveIframePlaylist(broadcast, name, skip))
    }
    if (changes % rareChanges !== 0 && !broadcast.isEnded) return
    const multivariant = liveMultivariant(broadcast)
    if (multivariant !== undefined) add('index', playlistFaults(multivariant))
    add('all', playlistSetFaults(Object.fromEntries(latest)))
  })
  return faults
}

/** What is listed can be fetched, what is hinted at can be waited for (§6.2.1, §4.4.5.3). */
function* absentMedia(broadcast: LiveBroadcast, text: string): Generator<string> {
  const { segments, hints } = readLivePlaylist(text)
  for (const { uri, isGap, parts } of segments) {
    const [take = '', rendition = '', number] = uri?.split(/[/.]/) ?? []
    if (uri !== undefined && !isGap && !broadcast.segment(take, rendition, Number(number))) {
      yield `${uri} is listed, and is not there`
    }
    for (const part of parts.filter((it) => !it.isGap)) {
      const bytes = broadcast.part(...partOf(part.uri))?.bytes.length ?? 0
      if (bytes === 0) yield `${part.uri} is listed, and is not there`
    }
  }
  for (const { URI: uri = '' } of hints) {
    const { kind } = broadcast.expectsPart(...partOf(uri))
    if (kind !== 'coming') yield `${uri} is hinted at, and ${kind}`
  }
}

function partOf(uri: string): [take: string, rendition: string, id: number] {
  const [take = '', rendition = '', id = ''] = uri.split(/[/.]/)
  return [take, rendition, Number(id.slice(1))]
}
