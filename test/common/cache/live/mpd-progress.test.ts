// How far MPDs have got: those that we write, and what is none.
import { describe, expect, it } from 'vitest'
import { readMpdProgress } from '../../../../common/cache/live/mpd-progress.ts'
import { type Progress, relationOf } from '../../../../common/cache/live/version-order.ts'
import { liveMpd } from '../../../../common/live/dash-live.ts'
import { Mutator, randomNumbers } from '../../../media/mutations.ts'
import { show } from '../../../support/scripted-show.ts'

const startMs = Date.UTC(2026, 0, 1)

describe('readMpdProgress', () => {
  it.each(['number', 'timeline'] as const)('grows over a show, by %s', (addressing) => {
    const all: Progress[] = []
    let nowMs = startMs
    show((broadcast) => {
      nowMs += 100
      const text = liveMpd(broadcast, { addressing, nowMs })
      if (text !== undefined) all.push(readMpdProgress(text)!)
    })
    expect(all.length).toBeGreaterThan(40)
    for (const [index, progress] of all.entries()) {
      if (index === 0) continue
      expect(relationOf(progress, all[index - 1]!, new Set())).toBe('newer')
      expect(relationOf(all[index - 1]!, progress, new Set())).toBe('older')
    }
    expect(all.at(-1)).toMatchObject({ isEnded: true, take: { tag: 'abcdefgh12', number: 3 } })
  })

  it('is the same for one version', () => {
    show((broadcast) => {
      const text = liveMpd(broadcast, { addressing: 'number', nowMs: startMs })
      const progress = text === undefined ? undefined : readMpdProgress(text)!
      if (progress) expect(relationOf(progress, progress, new Set())).toBe('same')
    })
  })

  const mpd =
    '<MPD type="dynamic" publishTime="2026-01-01T00:00:00Z"><Period id="a"></Period></MPD>\n'
  it.each([
    ['nothing', ''],
    ['half of one', mpd.slice(0, 60)],
    ['one without a time', mpd.replace(/publishTime="[^"]+"/, '')],
    ['one without a type', mpd.replace('type="dynamic"', '')],
    ['one without a Period', '<MPD type="static" a="b"></MPD>'],
  ])('reads nothing of %s', (_what, text) => {
    expect(readMpdProgress(mpd)).toMatchObject({ take: undefined, isEnded: false })
    expect(readMpdProgress(text)).toBeUndefined()
  })

  it('throws on nothing', () => {
    const mutator = new Mutator([Buffer.from(mpd)])
    const random = randomNumbers(3)
    let read = 0
    for (let i = 0; i < 5_000; i++) {
      if (readMpdProgress(mutator.next(random).toString('latin1'))) read++
    }
    expect(read).toBeGreaterThan(50)
  })
})
