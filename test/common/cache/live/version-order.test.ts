// Which of two versions is the newer one, and which may follow which.
import { describe, expect, it } from 'vitest'
import { type LiveVersion, readVersion } from '../../../../common/cache/live/live-version.ts'
import { localObject } from '../../../../common/cache/live/local-object.ts'
import { VersionBook } from '../../../../common/cache/live/version-book.ts'
import { type Progress, relationOf, takeOf } from '../../../../common/cache/live/version-order.ts'
import { liveMediaPlaylist } from '../../../../common/live/hls-live.ts'
import { show } from '../../../support/scripted-show.ts'
import { targetAt } from '../../../support/upstream-script.ts'

const newest: Progress = {
  take: { tag: 'abcdefgh12', number: 3 },
  first: 10,
  position: [20, 2],
  discontinuities: 2,
  isEnded: false,
}
const tag = 'abcdefgh12'

describe('relationOf', () => {
  it.each<[string, Partial<Progress>, string]>([
    ['one part more', { position: [20, 3] }, 'newer'],
    ['one segment more', { position: [21, 0], first: 11 }, 'newer'],
    ['the end', { isEnded: true }, 'newer'],
    ['the next take, however low', { take: { tag, number: 4 }, position: [1, 0] }, 'newer'],
    ['another broadcast', { take: { tag: 'zzzzzzzz', number: 1 }, position: [1, 0] }, 'newer'],
    ['the same', {}, 'same'],
    ['one part less', { position: [20, 1] }, 'older'],
    ['one segment less, with more parts', { position: [19, 4] }, 'older'],
    ['more of the past', { first: 9 }, 'older'],
    ['more of the past, and one part more', { first: 9, position: [20, 3] }, 'older'],
    ['the take before, however high', { take: { tag, number: 2 }, position: [99, 0] }, 'older'],
    ['a broadcast that was left', { take: { tag: 'leftleft', number: 9 } }, 'older'],
  ])('%s', (_what, changes, relation) => {
    const candidate = { ...newest, ...changes }
    expect(relationOf(candidate, newest, new Set(['leftleft']))).toBe(relation)
  })

  it('an end is not taken back', () => {
    expect(relationOf(newest, { ...newest, isEnded: true }, new Set())).toBe('older')
  })

  it.each([
    ['abcdefgh12-3/720p/1.m4s', { tag, number: 3 }],
    ['abcdefgh12-3', { tag, number: 3 }],
    ['abc-3/720p/1.m4s', undefined],
    ['720p/1.m4s', undefined],
    [undefined, undefined],
  ])('the take of %s', (uri, take) => {
    expect(takeOf(uri)).toEqual(take)
  })
})

/** All versions of one playlist over a show, as they would be received at that time. */
function versions(at: (index: number) => number): LiveVersion[] {
  const all: LiveVersion[] = []
  show((broadcast) => {
    const body = liveMediaPlaylist(broadcast, '720p')
    if (body === undefined) return
    const object = localObject(targetAt(), { status: 200, body }, 0)
    all.push(readVersion(object, at(all.length))!)
  })
  return all
}

describe('VersionBook', () => {
  it('takes every version of a show in order, and none that comes too late', () => {
    const book = new VersionBook()
    const all = versions((index) => index)
    expect(all.length).toBeGreaterThan(60)
    for (const [index, version] of all.entries()) {
      expect(book.accept(version)).toBe(true)
      for (const back of [1, 2, 9, 40]) {
        const late = all[index - back]
        if (!late) continue
        const isSame = relationOf(late.progress, version.progress, new Set()) === 'same'
        expect(book.accept({ ...late, receivedAt: index })).toBe(isSame)
      }
      expect(book.newest!.progress).toEqual(version.progress)
    }
  })

  const version = versions(() => 0)[20]!
  const follows = (changes: Partial<Progress>, receivedAt: number) => {
    const book = new VersionBook()
    book.accept(version)
    return book.accept({ ...version, receivedAt, progress: { ...version.progress, ...changes } })
  }
  const back = { position: [1, 0] }

  it.each<[string, Partial<Progress>, number]>([
    ['a cut', { ...back, discontinuities: 9 }, 6_000],
    ['more of the past and of what is new', { first: -1, position: [99, 0] }, 6_000],
    ['whatever there is', back, 40_000],
  ])('takes %s when nothing newer has come for long enough', (_what, changes, ms) => {
    expect(follows(changes, ms - 1)).toBe(false)
    expect(follows(changes, ms)).toBe(true)
  })

  it('remembers what was served when it is not served any more, until it is to forget', () => {
    const book = new VersionBook()
    const older = { ...version, progress: { ...version.progress, ...back } }
    book.accept(version)
    book.drop()
    expect([book.newest, book.isBlank, book.accept(older)]).toEqual([undefined, false, false])
    book.forget()
    expect([book.isBlank, book.accept(older)]).toEqual([true, true])
  })
})
