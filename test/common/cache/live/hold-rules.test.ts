// When a reload is answered: the same for whoever knows the text alone as for the packager that wrote it.
import { describe, expect, it } from 'vitest'
import { nextPosition, reloadAnswer } from '../../../../common/cache/live/hold-rules.ts'
import { liveMediaPlaylist, reloadState } from '../../../../common/live/hls-live.ts'
import { readMediaPlaylist } from '../../../../media/hls/playlist-reader.ts'
import { ScriptedBroadcast } from '../../../support/scripted-broadcast.ts'
import { show } from '../../../support/scripted-show.ts'

function read(broadcast: ScriptedBroadcast) {
  return readMediaPlaylist(liveMediaPlaylist(broadcast, '720p')!)!
}

describe('reloadAnswer', () => {
  it('is what the packager says, at every version of a show and for every position around its end', () => {
    const seen = { ready: 0, wait: 0, 'too-far': 0 }
    show((broadcast) => {
      for (const name of ['720p', '360p', '480p', 'audio']) {
        const text = liveMediaPlaylist(broadcast, name)
        if (text === undefined) continue
        const facts = readMediaPlaylist(text)!
        for (let msn = Math.max(0, facts.lastNumber - 3); msn <= facts.lastNumber + 4; msn++) {
          // With nothing complete the packager waits even for what is past.
          if (msn < facts.mediaSequence) continue
          for (const part of [undefined, 0, 1, 2, 3, 4, 5, 7, 8, 9, 10, 11, 30]) {
            const position = { msn, ...(part !== undefined && { part }) }
            const answer = reloadAnswer(facts, position)
            expect([name, position, answer], text).toEqual([
              name,
              position,
              reloadState(broadcast, name, position),
            ])
            seen[answer]++
          }
        }
      }
    })
    for (const count of Object.values(seen)) expect(count).toBeGreaterThan(1_000)
  })

  // Three whole segments of four parts, and two parts of the fourth; the advance limit is six parts.
  it.each([
    [{ msn: 1 }, 'ready'],
    [{ msn: 1, part: 99 }, 'ready'],
    [{ msn: 3 }, 'ready'],
    [{ msn: 3, part: 3 }, 'ready'],
    [{ msn: 3, part: 4 }, 'ready'],
    [{ msn: 4, part: 1 }, 'ready'],
    [{ msn: 4, part: 2 }, 'wait'],
    [{ msn: 4, part: 7 }, 'wait'],
    [{ msn: 4, part: 8 }, 'too-far'],
    [{ msn: 4 }, 'wait'],
    [{ msn: 5 }, 'wait'],
    [{ msn: 5, part: 5 }, 'wait'],
    [{ msn: 5, part: 6 }, 'too-far'],
    [{ msn: 6 }, 'too-far'],
    [{ msn: 6, part: 0 }, 'too-far'],
  ])('to %j is %s', (position, answer) => {
    const broadcast = new ScriptedBroadcast()
    broadcast.beginTake()
    broadcast.addSegments(3)
    broadcast.addParts(2)
    expect(reloadAnswer(read(broadcast), position)).toBe(answer)
  })
})

describe('nextPosition', () => {
  it('is never there, and is there with the next part', () => {
    const broadcast = new ScriptedBroadcast()
    broadcast.beginTake()
    broadcast.addParts(1)
    for (let round = 0; round < 12; round++) {
      const next = nextPosition(read(broadcast))
      expect(reloadAnswer(read(broadcast), next)).toBe('wait')
      expect(reloadState(broadcast, '720p', next)).toBe('wait')
      // Packagers close a segment with its last part.
      broadcast.change(() => {
        broadcast.addParts(1)
        if (round % 4 === 2) broadcast.closeSegments()
      })
      expect(reloadAnswer(read(broadcast), next)).toBe('ready')
      expect(reloadState(broadcast, '720p', next)).toBe('ready')
    }
  })

  it('is a segment where there are no parts', () => {
    const text = liveMediaPlaylist(oneSegment(), '720p')!.replace(/#EXT-X-PART.*\n/g, '')
    expect(nextPosition(readMediaPlaylist(text)!)).toEqual({ msn: 2 })
  })
})

function oneSegment(): ScriptedBroadcast {
  const broadcast = new ScriptedBroadcast()
  broadcast.beginTake()
  broadcast.addSegments(1)
  return broadcast
}
