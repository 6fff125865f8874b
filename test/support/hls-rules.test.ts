// The rules must find what is wrong: each row breaks a good playlist in one place.
import { describe, expect, test } from 'vitest'
import { liveMediaPlaylist, liveMultivariant } from '../../common/live/hls-live.ts'
import { checkPlaylistEdit, playlistFaults, playlistSetFaults } from './hls-rules.ts'
import { ScriptedBroadcast } from './scripted-broadcast.ts'

function live(segments: number): ScriptedBroadcast {
  const broadcast = new ScriptedBroadcast({ settings: { windowSegments: 16 } })
  broadcast.beginTake()
  broadcast.addSegments(segments)
  broadcast.addParts(2)
  return broadcast
}

const whole = (broadcast: ScriptedBroadcast) => liveMediaPlaylist(broadcast, '720p')!
const good = whole(live(4))

type Break = [find: string | RegExp, put: string, fault: RegExp]

describe('of one playlist', () => {
  test.each<Break>([
    ['#EXTM3U', '#EXTINF:2,', /EXTM3U/],
    ['#EXT-X-VERSION:8', '#EXT-X-VERSION:5', /version 5 where 6/],
    ['#EXT-X-VERSION:8', '#EXT-X-VERSION:10', /version 10 where 8/],
    ['#EXTINF:2.0', '#EXTINF:4.6', /longer than the target/],
    ['#EXT-X-DISCONTINUITY-SEQUENCE:0\n', '', /no EXT-X-DISCONTINUITY-SEQUENCE/],
    ['#EXT-X-INDEPENDENT-SEGMENTS', '#EXT-X-PLAYLIST-TYPE:EVENT', /has a type/],
    ['PART-HOLD-BACK=1.5', 'PART-HOLD-BACK=1.4', /PART-HOLD-BACK/],
    [',CAN-SKIP', ',HOLD-BACK=11,CAN-SKIP', /HOLD-BACK is below/],
    ['CAN-SKIP-UNTIL=24', 'CAN-SKIP-UNTIL=23', /CAN-SKIP-UNTIL/],
    [/#EXT-X-PART-INF.*\n/, '', /without EXT-X-PART-INF/],
    [/#EXT-X-SERVER-CONTROL.*\n/, '', /without EXT-X-SERVER-CONTROL/],
    [/#EXT-X-MAP.*\n/, '', /no init section/],
    [/#EXT-X-PROGRAM.*\n/, '', /has no date/],
    ['T00:00:02.000Z', 'T00:00:02.100Z', /off its date/],
    [/(#EXT-X-PROGRAM.*\n)(#EXT-X-PART:.*\n)/, '$2$1', /behind its first part/],
    ['#EXT-X-PART:DURATION=0.50000', '#EXT-X-PART:DURATION=0.50100', /longer than the part target/],
    [/DURATION=0.50000(.*p2)/, 'DURATION=0.40000$1', /shorter than 85 %/],
    [',INDEPENDENT=YES', '', /does not start independently/],
    ['/p2.m4s', '/p1.m4s', /follows part 1/],
    ['/3.m4s', '/4.m4s', /has number 3/],
    ['abcdefgh12-1/720p/3.m4s', '/live/3.m4s', /not relative/],
    [/(#EXT-X-PRELOAD.*\n)/, '$1$1', /two hints/],
    ['p19.m4s', 'p18.m4s', /which is listed/],
    [/$/, '#EXT-X-ENDLIST\n', /hints at a part after the end/],
    [/(#EXT-X-RENDITION-REPORT.*\n)/, '$1$1', /two reports/],
    ['LAST-MSN=5,', '', /no LAST-MSN/],
    [
      '#EXT-X-PART-INF',
      '#EXT-X-SKIP:SKIPPED-SEGMENTS=2\n#EXT-X-PART-INF',
      /within the skip boundary/,
    ],
  ])('%s', (find, put, fault) => {
    expect(playlistFaults(good)).toEqual([])
    expect(playlistFaults(good.replace(find, put)).join('\n')).toMatch(fault)
  })

  test.each<Break>([
    [/BANDWIDTH=\d+,/, '', /no BANDWIDTH/],
    [/CODECS="[^"]*"/, 'CODECS=""', /names no codecs/],
    [',mp4a.40.2', '', /codec of its sound/],
    [/RESOLUTION=\d+x\d+,/, '', /no RESOLUTION/],
    [/FRAME-RATE=[\d.]+,/, '', /no FRAME-RATE/],
    ['GROUP-ID="audio"', 'GROUP-ID="sound"', /a group that is not there/],
    ['STABLE-VARIANT-ID="720p"', 'STABLE-VARIANT-ID="360p"', /one stable id/],
    ['STABLE-RENDITION-ID="audio",', '', /no STABLE-RENDITION-ID/],
    ['\n720p.m3u8', '\n/720p.m3u8', /not relative/],
  ])('multivariant: %s', (find, put, fault) => {
    const multivariant = liveMultivariant(live(4))!
    expect(playlistFaults(multivariant)).toEqual([])
    expect(playlistFaults(multivariant.replace(find, put)).join('\n')).toMatch(fault)
  })
})

describe('of two versions', () => {
  /** Two parts later a discontinuity, 16 segments and the open one are listed. */
  function pair(): [before: string, after: string] {
    const broadcast = live(16)
    const before = whole(broadcast)
    broadcast.addParts(2)
    broadcast.closeSegments()
    broadcast.beginTake()
    broadcast.addParts(1)
    return [before, whole(broadcast)]
  }

  test.each<Break>([
    ['TARGETDURATION:4', 'TARGETDURATION:5', /targetDuration went/],
    ['PART-TARGET=0.5', 'PART-TARGET=0.6', /partTarget went/],
    ['PART-HOLD-BACK=1.5', 'PART-HOLD-BACK=1.6', /SERVER-CONTROL has changed/],
    ['VERSION:8', 'VERSION:9', /the version went/],
    ['MEDIA-SEQUENCE:2', 'MEDIA-SEQUENCE:0', /media sequence fell/],
    ['DISCONTINUITY-SEQUENCE:0', 'DISCONTINUITY-SEQUENCE:1', /discontinuity sequence grew/],
    ['720p/5.m4s', '720p/x/5.m4s', /5.m4s has changed/],
    ['T00:00:08.000Z', 'T00:00:08.001Z', /tags of .*5.m4s have changed/],
    [/p66.m4s/, 'p99.m4s', /parts of open segment 17 have changed/],
    [/p60.m4s/, 'p99.m4s', /parts of .*15.m4s have changed/],
    [/#EXT-X-PART:.*p(61|62|63|64).m4s.*\n/g, '', /left within three target durations/],
    [/p67.m4s/, 'p68.m4s', /p68.m4s came where .*p67.m4s was hinted/],
    [/#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:00:32[\s\S]*$/, '', /segments have left at the end/],
    [
      /(uri|URI)="audio.m3u8",LAST-MSN=\d+/,
      '$1="audio.m3u8",LAST-MSN=3',
      /report of audio.m3u8 fell/,
    ],
  ])('%s', (find, put, fault) => {
    const [before, after] = pair()
    expect(checkPlaylistEdit(before, after), after).toEqual([])
    expect(after.replace(find, put)).not.toBe(after)
    expect(checkPlaylistEdit(before, after.replace(find, put)).join('\n')).toMatch(fault)
  })

  test('a change after the end, and too short a playlist', () => {
    const broadcast = live(6)
    const before = whole(broadcast)
    broadcast.end()
    expect(checkPlaylistEdit(before, whole(broadcast))).toEqual([])
    expect(checkPlaylistEdit(whole(broadcast), before).join('\n')).toMatch(/after EXT-X-ENDLIST/)
    const short = before.replace(/#EXT-X-MEDIA-SEQUENCE:1/, '#EXT-X-MEDIA-SEQUENCE:3')
    const [head, , , third] = short.split('#EXT-X-PROGRAM-DATE-TIME')
    const rest = short.split('#EXT-X-PROGRAM-DATE-TIME').slice(4)
    const cut = [head, third, ...rest].join('#EXT-X-PROGRAM-DATE-TIME')
    expect(checkPlaylistEdit(before, cut).join('\n')).toMatch(/less than three target durations/)
  })
})

test('of a set of playlists', () => {
  const broadcast = live(4)
  const texts = { '720p': whole(broadcast), audio: liveMediaPlaylist(broadcast, 'audio')! }
  expect(playlistSetFaults(texts)).toEqual([])
  const broken = (find: string, put: string) =>
    playlistSetFaults({ ...texts, audio: texts.audio.replace(find, put) }).join('\n')
  expect(broken('TARGETDURATION:4', 'TARGETDURATION:5')).toMatch(/another target duration/)
  expect(broken('PART-HOLD-BACK=1.5', 'PART-HOLD-BACK=1.6')).toMatch(/another EXT-X-SERVER-CONTROL/)
  expect(broken('DISCONTINUITY-SEQUENCE:0', 'DISCONTINUITY-SEQUENCE:1')).toMatch(/other discont/)
  expect(broken('T00:00:02.000Z', 'T00:00:03.000Z')).toMatch(/dates 2 otherwise/)
})
