// The MUSTs of RFC 8216bis draft 22 for whoever makes live playlists, a test each. What the server does with
// them (holding requests, statuses) is tested with the playback server.
import { describe, expect, test } from 'vitest'
import {
  liveIframePlaylist,
  liveMediaPlaylist,
  liveMultivariant,
  type ReloadRequest,
  type ReloadState,
  reloadState,
} from '../../../common/live/hls-live.ts'
import { readWithHlsParser, readWithM3u8Parser } from '../../support/hls-parsers.ts'
import { checkPlaylistEdit, playlistFaults, playlistSetFaults } from '../../support/hls-rules.ts'
import { readLivePlaylist } from '../../support/hls-text.ts'
import { ScriptedBroadcast, type ScriptedOptions } from '../../support/scripted-broadcast.ts'
import { show } from '../../support/scripted-show.ts'
import { audioRendition, standardRenditions, videoRendition } from '../../support/segment-logs.ts'

function live(segments: number, options: ScriptedOptions = {}): ScriptedBroadcast {
  const broadcast = new ScriptedBroadcast(options)
  broadcast.beginTake()
  broadcast.addSegments(segments)
  return broadcast
}

const text = (broadcast: ScriptedBroadcast, name = '720p') => liveMediaPlaylist(broadcast, name)!
const read = (broadcast: ScriptedBroadcast, name = '720p') =>
  readLivePlaylist(text(broadcast, name))
const delta = (broadcast: ScriptedBroadcast, skip: 'YES' | 'v2' = 'v2') =>
  liveMediaPlaylist(broadcast, '720p', { skip })!
const line = (playlist: string, tag: string) =>
  playlist.split('\n').find((it) => it.startsWith(`#${tag}`))

/** All versions of one playlist over the show. */
function versions(name: string, write = liveMediaPlaylist): string[] {
  const all: string[] = []
  show((broadcast) => {
    const now = write(broadcast, name)
    if (now !== undefined && now !== all.at(-1)) all.push(now)
  })
  return all
}

describe('over a whole show', () => {
  test.each(['720p', '360p', 'audio', '480p'])(
    'each version of %s holds to the rules (§4.4)',
    (name) => {
      for (const version of versions(name)) expect(playlistFaults(version), version).toEqual([])
    },
  )

  test.each(['720p', 'audio', '480p'])('%s is only ever edited as allowed (§6.2.1)', (name) => {
    const all = versions(name)
    expect(all.length).toBeGreaterThan(40)
    for (const [index, version] of all.entries()) {
      for (const back of [1, 2, 5, 20]) {
        const before = all[index - back]
        if (before) expect(checkPlaylistEdit(before, version), `${before}\n${version}`).toEqual([])
      }
    }
  })

  test('playlists of keyframes hold to the same rules', () => {
    const all = versions('360p', liveIframePlaylist).filter((it) => it.includes('.m4s'))
    for (const [index, version] of all.entries()) {
      expect(playlistFaults(version), version).toEqual([])
      if (index > 0) expect(checkPlaylistEdit(all[index - 1]!, version)).toEqual([])
    }
  })

  test('all playlists agree on target duration, server control, dates and discontinuities (§6.2.4)', () => {
    show((broadcast) => {
      const texts = broadcast.playlistNames.flatMap((name) => {
        const whole = liveMediaPlaylist(broadcast, name)
        const keyframes = liveIframePlaylist(broadcast, name)
        const both: [string, string | undefined][] = [
          [name, whole],
          [`${name}-iframes`, keyframes?.includes('.m4s') ? keyframes : undefined],
        ]
        return both.filter((it): it is [string, string] => it[1] !== undefined)
      })
      expect(playlistSetFaults(Object.fromEntries(texts))).toEqual([])
    })
  })

  test('m3u8-parser and hls-parser read every version', () => {
    for (const version of [...versions('720p'), ...versions('audio')]) {
      const { segments } = readLivePlaylist(version)
      const expected = {
        complaints: [],
        segments: segments.filter((it) => it.uri !== undefined).length,
        parts: segments.reduce((sum, it) => sum + it.parts.length, 0),
        version: 8,
      }
      expect(readWithM3u8Parser(version), version).toEqual(expected)
      expect(readWithHlsParser(version), version).toEqual(expected)
    }
  })
})

describe('timeline', () => {
  test('the target duration and the part target never change (§6.2.1)', () => {
    const heads = versions('720p').map((it) => [
      line(it, 'EXT-X-TARGETDURATION'),
      line(it, 'EXT-X-PART-INF'),
    ])
    expect(new Set(heads.map(String))).toEqual(
      new Set(['#EXT-X-TARGETDURATION:4,#EXT-X-PART-INF:PART-TARGET=0.5']),
    )
  })

  test('the media sequence grows by one with each segment that leaves (§6.2.2)', () => {
    const broadcast = live(6)
    expect(read(broadcast).mediaSequence).toBe(1)
    broadcast.addSegments(1)
    expect(read(broadcast).mediaSequence).toBe(2)
    expect(read(broadcast).segments.map((it) => it.number)).toEqual([2, 3, 4, 5, 6, 7])
  })

  test('numbers go on where an earlier transcoder has stopped', () => {
    const broadcast = live(2, { facts: { firstNumber: 90, earlierTakes: 2 } })
    expect(read(broadcast)).toMatchObject({ mediaSequence: 90, discontinuitySequence: 1 })
    expect(read(broadcast).segments[0]).toMatchObject({
      hasDiscontinuity: true,
      uri: 'abcdefgh12-3/720p/90.m4s',
    })
  })

  test('the discontinuity sequence is always there, and grows when the tagged segment leaves (§6.2.2)', () => {
    const broadcast = live(3)
    broadcast.beginTake()
    broadcast.addSegments(6)
    expect(read(broadcast).segments[0]).toMatchObject({ number: 4, hasDiscontinuity: true })
    expect(read(broadcast).discontinuitySequence).toBe(0)
    broadcast.addSegments(1)
    expect(read(broadcast).discontinuitySequence).toBe(1)
  })

  test('the discontinuity sequence stays true when the take before has left memory', () => {
    const broadcast = live(3, { keptSegments: 8 })
    broadcast.beginTake()
    broadcast.addSegments(20)
    expect(broadcast.takes).toHaveLength(1)
    expect(read(broadcast).discontinuitySequence).toBe(1)
  })

  test('a broadcast whose first take published nothing starts without a discontinuity', () => {
    const broadcast = new ScriptedBroadcast()
    broadcast.beginTake().number = 2
    broadcast.addSegments(2)
    expect(read(broadcast).discontinuitySequence).toBe(0)
    expect(read(broadcast).segments[0]!.hasDiscontinuity).toBe(false)
  })

  test('less than three target durations are never listed while there is more (§6.2.2)', () => {
    const broadcast = live(40, { settings: { segmentSeconds: 1, windowSegments: 3 } })
    expect(read(broadcast).segments).toHaveLength(12)
  })

  test('a live playlist has no type (§6.2.1)', () => {
    expect(versions('720p').some((it) => it.includes('EXT-X-PLAYLIST-TYPE'))).toBe(false)
  })

  test('every segment is dated, on one clock in all playlists (§6.2.4)', () => {
    const broadcast = live(2)
    broadcast.addParts()
    // Ten seconds of lead, so the first segment plays at the start of the broadcast.
    const dates = [0, 2_000, 4_000].map((ms) => Date.UTC(2026, 0, 1) + ms)
    expect(read(broadcast).segments.map((it) => it.dateMs)).toEqual(dates)
    expect(read(broadcast, 'audio').segments.map((it) => it.dateMs)).toEqual(dates)
  })

  test('a new take comes with a discontinuity and its init section (§4.4.4.3)', () => {
    const broadcast = live(2)
    broadcast.beginTake({ startSeconds: 30 })
    expect(read(broadcast).segments).toHaveLength(2)
    broadcast.addParts()
    expect(text(broadcast)).toContain(`#EXT-X-DISCONTINUITY
#EXT-X-MAP:URI="abcdefgh12-2/720p/init.mp4"
#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:00:20.000Z
#EXT-X-PART:`)
  })

  test('missing media is a gap, and costs no version and no discontinuity (§4.4.4.7)', () => {
    const broadcast = live(2)
    broadcast.addGaps(1)
    broadcast.addSegments(1)
    expect(read(broadcast).segments.map((it) => it.isGap)).toEqual([false, false, true, false])
    expect(text(broadcast)).not.toContain('EXT-X-DISCONTINUITY\n')
    expect(line(text(broadcast), 'EXT-X-VERSION')).toBe(line(text(live(2)), 'EXT-X-VERSION'))
  })

  test('sound that a take lacks is a gap without an init section of its own', () => {
    const broadcast = live(2)
    broadcast.beginTake({ renditions: [videoRendition(720)] })
    broadcast.addSegments(2)
    expect(read(broadcast, 'audio').segments.map((it) => it.isGap)).toEqual([
      false,
      false,
      true,
      true,
    ])
    expect(text(broadcast, 'audio')).not.toContain('abcdefgh12-2/audio/init.mp4')
  })

  test('a rendition that a take lacks keeps its playlist: the nearest picture stands in', () => {
    const broadcast = live(1)
    broadcast.beginTake({ renditions: [videoRendition(480), audioRendition] })
    broadcast.addSegments(1)
    broadcast.addParts(1)
    const { segments, hints } = read(broadcast)
    expect(segments.map((it) => it.mapUri)).toEqual([
      'abcdefgh12-1/720p/init.mp4',
      'abcdefgh12-2/480p/init.mp4',
      'abcdefgh12-2/480p/init.mp4',
    ])
    expect(hints[0]!.URI).toBe('abcdefgh12-2/480p/p6.m4s')
  })

  test('after the end there is ENDLIST, and nothing is announced (§6.2.1)', () => {
    const broadcast = live(3)
    broadcast.addParts(2)
    broadcast.end()
    expect(text(broadcast)).toMatch(/#EXT-X-ENDLIST\n$/)
    expect(text(broadcast)).not.toMatch(/EXT-X-(PART:|PRELOAD-HINT|RENDITION-REPORT)/)
    expect(read(broadcast).segments.at(-1)).toMatchObject({ number: 4, seconds: 1 })
  })

  test('nothing is listed before there is a part, nor for a rendition that never was', () => {
    const broadcast = new ScriptedBroadcast()
    expect(liveMediaPlaylist(broadcast, '720p')).toBeUndefined()
    broadcast.beginTake()
    expect(liveMediaPlaylist(broadcast, '720p')).toBeUndefined()
    expect(liveMultivariant(broadcast)).toBeUndefined()
    broadcast.addParts()
    expect(liveMediaPlaylist(broadcast, '720p')).toBeDefined()
    expect(liveMediaPlaylist(broadcast, '719p')).toBeUndefined()
  })
})

describe('parts', () => {
  test('no part is longer than the part target as it is written (§4.4.4.9)', () => {
    // 32 frames of sound at 48 kHz are no round number of seconds.
    const seconds = (24 * 1024) / 48_000 / 1.2
    const broadcast = new ScriptedBroadcast({ settings: { partTargetSeconds: seconds + 1e-7 } })
    broadcast.beginTake()
    broadcast.addSegments(3)
    expect(playlistFaults(text(broadcast, 'audio'))).toEqual([])
  })

  test('hold-backs: three part targets, and the default of three target durations (§4.4.3.8)', () => {
    expect(read(live(1, { settings: { partTargetSeconds: 0.502 } })).serverControl).toEqual({
      'CAN-BLOCK-RELOAD': 'YES',
      'PART-HOLD-BACK': '1.506',
      'CAN-SKIP-UNTIL': '24',
    })
  })

  test('tags of a segment stand before its first part (§4.4.4.9)', () => {
    for (const version of versions('720p')) {
      expect(readLivePlaylist(version).segments.some((it) => it.hasLateTag)).toBe(false)
    }
  })

  test('parts are listed for three target durations (§6.2.2)', () => {
    const broadcast = live(12, { settings: { windowSegments: 12 } })
    const withParts = () => read(broadcast).segments.filter((it) => it.parts.length > 0)
    expect(withParts().map((it) => it.number)).toEqual([7, 8, 9, 10, 11, 12])
    broadcast.addParts(1)
    expect(withParts().map((it) => it.number)).toEqual([7, 8, 9, 10, 11, 12, 13])
    broadcast.addParts(3)
    broadcast.closeSegments()
    expect(withParts().map((it) => it.number)).toEqual([8, 9, 10, 11, 12, 13])
  })

  test('a part without media says so (§4.4.4.9)', () => {
    const broadcast = live(1)
    broadcast.addPart('720p')
    broadcast.addPart('720p', { isGap: true })
    expect(text(broadcast)).toContain('URI="abcdefgh12-1/720p/p6.m4s",GAP=YES\n')
  })

  test('the hint names the part that then comes, also when it opens a segment (§4.4.5.3)', () => {
    const broadcast = live(1)
    const check = (change: () => void) => {
      const hinted = read(broadcast).hints.map((it) => it.URI)
      change()
      const parts = read(broadcast).segments.flatMap((it) => it.parts.map((part) => part.uri))
      expect(parts).toContain(hinted[0])
      expect(hinted).toHaveLength(1)
    }
    for (let i = 0; i < 4; i++) check(() => broadcast.addParts(1))
    broadcast.closeSegments()
    check(() => broadcast.addParts(1))
  })

  test('nothing is hinted at before the init section that it needs is in force (§4.4.4.5)', () => {
    const broadcast = live(1)
    broadcast.addGaps(1)
    broadcast.beginTake()
    expect(read(broadcast).hints).toEqual([])
    broadcast.addParts(1)
    expect(read(broadcast).hints.map((it) => it.URI)).toEqual(['abcdefgh12-2/720p/p6.m4s'])
  })

  test('each playlist reports how far the others have got, by their last part (§4.4.5.4)', () => {
    const broadcast = live(2)
    broadcast.addPart('360p')
    expect(read(broadcast).reports).toEqual([
      { uri: '360p.m3u8', lastNumber: 3, lastPart: 0 },
      { uri: 'audio.m3u8', lastNumber: 2, lastPart: 3 },
    ])
    expect(read(broadcast, '360p').reports[0]).toEqual({
      uri: '720p.m3u8',
      lastNumber: 2,
      lastPart: 3,
    })
    broadcast.addGaps(7)
    expect(read(broadcast).reports[0]).toEqual({
      uri: '360p.m3u8',
      lastNumber: 10,
      lastPart: 3,
    })
  })

  test('a gap has parts that are gaps, so that a reload by part is blocked behind it (§4.4.4.9)', () => {
    const broadcast = live(2)
    broadcast.addGaps(1)
    const gap = read(broadcast).segments.at(-1)!
    expect(gap.isGap).toBe(true)
    expect(gap.parts.map((it) => [it.seconds, it.isGap])).toEqual(Array(4).fill([0.5, true]))
    const { number } = gap
    expect(reloadState(broadcast, '720p', { msn: number, part: 3 })).toBe('ready')
    expect(reloadState(broadcast, '720p', { msn: number, part: 4 })).toBe('wait')
    expect(reloadState(broadcast, '720p', { msn: number + 1, part: 0 })).toBe('wait')
    broadcast.addGaps(1)
    expect(reloadState(broadcast, '720p', { msn: number + 1, part: 0 })).toBe('ready')
  })
})

describe('a delta update', () => {
  const long = () => live(30, { settings: { windowSegments: 30 } })

  test.each(['YES', 'v2'] as const)('is what %s gets (§6.2.5.1)', (skip) => {
    const update = readLivePlaylist(delta(long(), skip))
    expect(update).toMatchObject({ mediaSequence: 1, skippedSegments: 18, version: 9 })
    expect(update.segments.map((it) => it.number)[0]).toBe(19)
  })

  test('skips only what lies before the skip boundary, six target durations (§4.4.3.8)', () => {
    const broadcast = long()
    broadcast.addParts(3)
    const kept = readLivePlaylist(delta(broadcast)).segments.filter((it) => it.uri !== undefined)
    expect(kept.reduce((sum, it) => sum + it.seconds, 0)).toBe(24)
  })

  test('leaves the tags of what it does not skip as they are', () => {
    const broadcast = live(17, { settings: { windowSegments: 30 } })
    broadcast.beginTake({ startSeconds: 60 })
    broadcast.addSegments(12)
    const whole = text(broadcast)
    expect(readLivePlaylist(delta(broadcast)).skippedSegments).toBe(17)
    const from = whole.indexOf('#EXT-X-DISCONTINUITY\n')
    expect(delta(broadcast).slice(delta(broadcast).indexOf('#EXT-X-DISCONTINUITY\n'))).toBe(
      whole.slice(from),
    )
  })

  test('is the whole playlist where nothing can be skipped, and after the end (§6.2.5.1)', () => {
    const short = live(6)
    expect(delta(short)).toBe(text(short))
    const ended = long()
    ended.end()
    expect(delta(ended)).toBe(text(ended))
  })

  test('is read by m3u8-parser and hls-parser', () => {
    for (const reading of [readWithM3u8Parser(delta(long())), readWithHlsParser(delta(long()))]) {
      expect(reading).toMatchObject({ complaints: [], segments: 12, version: 9 })
    }
  })
})

describe('a blocking reload', () => {
  /** Segments 1 to 3 are complete with four parts each, 4 has two. */
  function blocking(): ScriptedBroadcast {
    const broadcast = live(3)
    broadcast.addParts(2)
    return broadcast
  }

  test.each<[ReloadRequest, ReloadState, string]>([
    [{ msn: 3 }, 'ready', 'a complete segment'],
    [{ msn: 1 }, 'ready', 'one that may have left'],
    [{ msn: 4 }, 'wait', 'a segment is there once it is complete'],
    [{ msn: 5 }, 'wait', 'two after the last complete one'],
    [{ msn: 6 }, 'too-far', 'three after it'],
    [{ msn: 3, part: 3 }, 'ready', 'the last part of a segment'],
    [{ msn: 3, part: 4 }, 'ready', 'past the end of a segment means part 0 of the next'],
    [{ msn: 4, part: 1 }, 'ready', 'a listed part'],
    [{ msn: 4, part: 2 }, 'wait', 'the next part'],
    [{ msn: 4, part: 7 }, 'wait', 'six parts ahead'],
    [{ msn: 4, part: 8 }, 'too-far', 'past the advance part limit'],
    [{ msn: 5, part: 0 }, 'wait', 'the first part of the segment after the open one'],
    [{ msn: 5, part: 6 }, 'too-far', 'past the advance part limit there'],
  ])('%o: %s, %s (§6.2.5.2)', (request, expected) => {
    expect(reloadState(blocking(), '720p', request)).toBe(expected)
  })

  test('past the end of a segment waits for the first part of the next (§6.2.5.2)', () => {
    const broadcast = live(3)
    expect(reloadState(broadcast, '720p', { msn: 3, part: 4 })).toBe('wait')
    broadcast.addParts(1)
    expect(reloadState(broadcast, '720p', { msn: 3, part: 4 })).toBe('ready')
  })

  test('for a part is over when a gap has come in its place', () => {
    const broadcast = live(3)
    expect(reloadState(broadcast, '720p', { msn: 4, part: 2 })).toBe('wait')
    broadcast.addGaps(1)
    expect(reloadState(broadcast, '720p', { msn: 4, part: 2 })).toBe('ready')
  })

  test('parts of a second and more: three of them ahead at most (§6.2.5.2)', () => {
    const broadcast = live(3, { settings: { partTargetSeconds: 1 } })
    expect(reloadState(broadcast, '720p', { msn: 4, part: 2 })).toBe('wait')
    expect(reloadState(broadcast, '720p', { msn: 4, part: 3 })).toBe('too-far')
  })

  test('is answered at once after the end (§6.2.5.2)', () => {
    const broadcast = blocking()
    broadcast.end()
    expect(reloadState(broadcast, '720p', { msn: 99 })).toBe('ready')
  })

  test('of what is not listed is unknown', () => {
    expect(reloadState(blocking(), '719p', { msn: 1 })).toBe('unknown')
    expect(reloadState(new ScriptedBroadcast(), '720p', { msn: 1 })).toBe('unknown')
  })
})

describe('a playlist of keyframes', () => {
  test('ranges over the start of each complete segment (§4.4.3.6)', () => {
    const broadcast = live(2)
    broadcast.addParts(1)
    const { segments, hasOnlyKeyframes } = readLivePlaylist(liveIframePlaylist(broadcast, '360p')!)
    expect(hasOnlyKeyframes).toBe(true)
    const bytes = broadcast.segment('abcdefgh12-1', '360p', 1)!.keyframeBytes
    expect(segments.map((it) => it.byteRange)).toEqual([`${bytes}@0`, `${bytes}@0`])
  })

  test('there is none of sound', () => {
    expect(liveIframePlaylist(live(2), 'audio')).toBeUndefined()
  })
})

describe('the multivariant playlist', () => {
  const master = (broadcast: ScriptedBroadcast) => liveMultivariant(broadcast)!
  const bytes = (count: number) => ({ bytes: Buffer.alloc(count) })

  /** Segments of two seconds in one part each. */
  function weighed(segments: readonly [video: number, audio: number][], nominal = 0) {
    const broadcast = new ScriptedBroadcast({ settings: { partTargetSeconds: 2 } })
    broadcast.beginTake({
      renditions: [videoRendition(720, { nominalBitsPerSecond: nominal }), audioRendition],
    })
    const add = ([video, audio]: readonly [video: number, audio: number]) => {
      broadcast.addPart('720p', bytes(video))
      broadcast.addPart('audio', bytes(audio))
      broadcast.closeSegments()
    }
    for (const it of segments) add(it)
    return { broadcast, add }
  }

  test('offers what the newest complete take makes', () => {
    const broadcast = live(2)
    broadcast.beginTake({ renditions: [videoRendition(480), audioRendition], isComplete: false })
    broadcast.addParts(1)
    expect(master(broadcast).match(/^\d+p\.m3u8$/gm)).toEqual(['720p.m3u8', '360p.m3u8'])
    broadcast.completeTake()
    expect(master(broadcast).match(/^\d+p\.m3u8$/gm)).toEqual(['480p.m3u8'])
  })

  test('names every codec that occurs (§4.4.6.2)', () => {
    const broadcast = live(2)
    broadcast.beginTake({
      renditions: standardRenditions.map((it) =>
        it.isSource ? { ...it, codec: 'avc1.640028' } : it,
      ),
    })
    broadcast.addParts(1)
    expect(master(broadcast)).toContain(
      'CODECS="avc1.640028,avc1.64001f,mp4a.40.2",RESOLUTION=1280x720,FRAME-RATE=30.000',
    )
  })

  test('BANDWIDTH is at least the measured peak, sound included (§4.4.6.2)', () => {
    const { broadcast } = weighed([
      [500_000, 20_000],
      [1_000_000, 30_000],
      [500_000, 20_000],
    ])
    // The heaviest two seconds of each: 4 Mb/s and 120 kb/s.
    expect(master(broadcast)).toContain('BANDWIDTH=4120000,AVERAGE-BANDWIDTH=2760000')
  })

  test('BANDWIDTH is never below what an encoder may spend', () => {
    const { broadcast } = weighed([[500_000, 20_000]], 3_000_000)
    expect(master(broadcast)).toContain('BANDWIDTH=3080000,AVERAGE-BANDWIDTH=2080000')
  })

  test('before a segment is complete, BANDWIDTH is what an encoder may spend', () => {
    const { broadcast } = weighed([], 3_000_000)
    broadcast.addPart('720p', { ...bytes(2_000_000), seconds: 0.5 })
    broadcast.addPart('audio', { ...bytes(10_000), seconds: 0.5 })
    expect(master(broadcast)).toContain('BANDWIDTH=3160000,AVERAGE-BANDWIDTH=3160000')
  })

  test('BANDWIDTH does not fall when the peak has left the window', () => {
    const { broadcast, add } = weighed([[1_000_000, 20_000]])
    liveMultivariant(broadcast)
    for (let i = 0; i < 8; i++) add([500_000, 20_000])
    expect(liveMultivariant(broadcast)).toContain('BANDWIDTH=4080000,AVERAGE')
  })

  test('BANDWIDTH is that of the last media while there is none', () => {
    const { broadcast } = weighed([[500_000, 20_000]])
    broadcast.addGaps(9)
    expect(master(broadcast)).toContain('BANDWIDTH=2080000,AVERAGE-BANDWIDTH=2080000')
  })

  test('a short segment alone is no peak', () => {
    const { broadcast } = weighed([
      [500_000, 20_000],
      [500_000, 20_000],
    ])
    broadcast.addPart('720p', { ...bytes(200_000), seconds: 0.1 })
    broadcast.addPart('audio', { ...bytes(1_000), seconds: 0.1 })
    broadcast.closeSegments()
    // 1.2 MB in 4.1 s weigh more than one segment, 0.2 MB in 0.1 s are not asked alone.
    const peak = Number(/BANDWIDTH=(\d+)/.exec(master(broadcast))![1])
    expect(peak).toBeLessThan(3_000_000)
  })

  test('sound alone is a variant without a group', () => {
    const broadcast = new ScriptedBroadcast()
    broadcast.beginTake({ renditions: [audioRendition] })
    broadcast.addSegments(2)
    expect(playlistFaults(master(broadcast))).toEqual([])
    expect(master(broadcast)).not.toMatch(/EXT-X-MEDIA|RESOLUTION|I-FRAME/)
    expect(master(broadcast)).toContain('\naudio.m3u8\n')
  })

  test('is read by m3u8-parser and hls-parser in every version', () => {
    show((broadcast) => {
      const now = liveMultivariant(broadcast)
      if (now === undefined) return
      expect(playlistFaults(now), now).toEqual([])
      expect(readWithHlsParser(now).complaints, now).toEqual([])
      expect(readWithM3u8Parser(now).complaints, now).toEqual([])
    })
  })
})

describe('golden files', () => {
  /** A gap, a second take, an open segment. */
  function golden(): ScriptedBroadcast {
    const broadcast = live(14, { settings: { windowSegments: 18 } })
    broadcast.addGaps(1)
    broadcast.beginTake({ startSeconds: 50 })
    broadcast.addSegments(2)
    broadcast.addParts(2)
    return broadcast
  }

  test.each([
    ['720p.m3u8', () => text(golden())],
    ['audio.m3u8', () => text(golden(), 'audio')],
    ['720p-delta.m3u8', () => delta(golden())],
    ['360p-iframes.m3u8', () => liveIframePlaylist(golden(), '360p')!],
    ['index.m3u8', () => liveMultivariant(golden())!],
  ])('%s', async (name, write) => {
    await expect(write()).toMatchFileSnapshot(`golden/hls-live/${name}`)
  })
})
