// One live playlist at an edge: what is answered at once, what is held, what upstream is asked.
import { describe, expect, it } from 'vitest'
import type { CacheObject } from '../../../../common/cache/cache-object.ts'
import type { Opened } from '../../../../common/cache/fill-cache.ts'
import { LiveMetrics } from '../../../../common/cache/live/live-metrics.ts'
import { LiveRendition } from '../../../../common/cache/live/live-rendition.ts'
import { liveMediaPlaylist } from '../../../../common/live/hls-live.ts'
import { Metrics } from '../../../../common/metrics.ts'
import { FakeClock } from '../../../support/fake-clock.ts'
import { ScriptedBroadcast } from '../../../support/scripted-broadcast.ts'
import { playlistPath, targetAt, UpstreamScript } from '../../../support/upstream-script.ts'

const folder = '/live/demo/'

/** Four segments of four parts, one part of the fifth; the next position is segment 5, part 1. */
class Stage {
  readonly clock = new FakeClock()
  readonly broadcast: ScriptedBroadcast
  readonly upstream = new UpstreamScript(this.clock)
  readonly metrics = new Metrics('edge', 'pop-1', '0')
  readonly rendition: LiveRendition

  constructor(
    options: { windowSegments?: number; partTargetSeconds?: number; path?: string } = {},
  ) {
    const { windowSegments = 6, partTargetSeconds = 0.5, path = playlistPath } = options
    this.broadcast = new ScriptedBroadcast({ settings: { windowSegments, partTargetSeconds } })
    this.broadcast.beginTake()
    this.broadcast.addSegments(4)
    this.broadcast.addParts(1)
    this.rendition = new LiveRendition({
      target: targetAt('', path),
      io: this.upstream,
      clock: this.clock,
      metrics: new LiveMetrics(this.metrics, () => ({ renditions: 1, waits: 0, held: 0 })),
    })
  }

  get text(): string {
    return liveMediaPlaylist(this.broadcast, '720p')!
  }

  /** With the newest version here. */
  static warm(options: ConstructorParameters<typeof Stage>[0] = {}): Stage {
    const stage = new Stage(options)
    stage.ask()
    stage.refresh(stage.text)
    return stage
  }

  ask(query = ''): Opened {
    const opened = this.rendition.open(targetAt(query))
    if (opened === undefined || opened === 'opaque') throw new Error(`opened ${opened}`)
    // A reader, as long as there is something to wait for.
    if (opened.object.state === 'waiting') opened.object.follow(() => {})
    return opened
  }

  /** Answers what is asked for at once. */
  refresh(text: string, headers?: Record<string, string>): void {
    this.upstream.refreshes[0]!.answer(200, text, headers)
  }

  /** Answers what is held. */
  wake(text: string): void {
    this.upstream.waits[0]!.answer(200, text)
  }

  async count(name: string, labels: Record<string, string> = {}): Promise<number> {
    const json = await this.metrics.registry.getMetricsAsJSON()
    const values = json.find((it) => it.name === `nearcast_${name}`)?.values ?? []
    const matching = values.filter((it) =>
      Object.entries(labels).every(([label, value]) => it.labels[label as never] === value),
    )
    return matching.reduce((sum, { value }) => sum + value, 0)
  }
}

function bodyOf({ object }: { object: CacheObject }): string {
  const answer = object.substitute?.object ?? object
  return answer.slice(0, answer.size).toString()
}

function statusOf({ object }: Opened): number | undefined {
  return object.state === 'waiting' ? undefined : object.head?.status
}

describe('who asks for what is here', () => {
  it('is answered with the newest version, whatever the position', () => {
    const stage = Stage.warm()
    for (const query of ['', '_HLS_msn=1', '_HLS_msn=4&_HLS_part=3', '_HLS_msn=5&_HLS_part=0']) {
      const opened = stage.ask(query)
      expect([query, opened.outcome, bodyOf(opened)]).toEqual([query, 'hit', stage.text])
    }
    expect(stage.upstream.asked).toEqual([playlistPath])
  })

  it('gets a version that a reload has brought, without asking again', async () => {
    const stage = Stage.warm()
    stage.ask('_HLS_msn=5&_HLS_part=1')
    await stage.clock.advance(5_000)
    stage.broadcast.addParts(1)
    stage.wake(stage.text)
    const opened = stage.ask()
    expect([opened.outcome, bodyOf(opened)]).toEqual(['hit', stage.text])
    expect(stage.upstream.refreshes).toEqual([])
  })

  it('gets it while upstream is being waited at, which would have told of a newer one', async () => {
    const stage = Stage.warm()
    stage.ask('_HLS_msn=5&_HLS_part=1')
    await stage.clock.advance(5_900)
    expect(stage.ask()).toMatchObject({ outcome: 'hit', freshMs: 0 })
    await stage.clock.advance(200)
    expect(stage.ask().outcome).toBe('expired')
    expect(stage.upstream.refreshes).toHaveLength(1)
  })

  it('gets a version a little too old while one request renews it, and waits for it later', async () => {
    const stage = Stage.warm()
    // Half a part is its lifetime, 400 ms more it is given out.
    await stage.clock.advance(249)
    expect(stage.ask()).toMatchObject({ outcome: 'hit', freshMs: 1 })
    await stage.clock.advance(400)
    for (let i = 0; i < 3; i++) expect(stage.ask()).toMatchObject({ outcome: 'hit', freshMs: -399 })
    expect(stage.upstream.refreshes).toHaveLength(1)
    await stage.clock.advance(1)
    const held = [stage.ask(), stage.ask()]
    expect(held.map(({ outcome }) => outcome)).toEqual(['collapsed', 'collapsed'])
    stage.broadcast.addParts(1)
    stage.refresh(stage.text)
    for (const opened of held) expect(bodyOf(opened)).toBe(stage.text)
    expect(stage.upstream.asked).toHaveLength(2)
  })

  it('gets the end, whatever the position', () => {
    const stage = new Stage()
    stage.ask()
    stage.broadcast.end()
    stage.refresh(stage.text)
    for (const query of ['_HLS_msn=90&_HLS_part=7', '_HLS_msn=6', '_HLS_skip=YES']) {
      expect(bodyOf(stage.ask(query))).toBe(stage.text)
    }
    expect(stage.upstream.open).toEqual([])
  })

  it('gets a delta that is made here once for all', () => {
    const stage = Stage.warm({ windowSegments: 20 })
    stage.broadcast.addSegments(16)
    const held = stage.ask('_HLS_msn=5&_HLS_part=1&_HLS_skip=v2')
    stage.wake(stage.text)
    const delta = liveMediaPlaylist(stage.broadcast, '720p', { skip: 'YES' })
    expect(delta).toContain('#EXT-X-SKIP')
    expect(bodyOf(held)).toBe(delta)
    const [one, other] = [stage.ask('_HLS_skip=YES'), stage.ask('_HLS_msn=6&_HLS_skip=v2')]
    expect(bodyOf(one)).toBe(delta)
    expect(other.object).toBe(one.object)
    expect(one.object.head).toMatchObject({ etag: undefined, length: delta!.length })
  })
})

describe('who asks for more', () => {
  it('is held, thousands with one request upstream for what comes next, and told in one go', () => {
    const stage = Stage.warm()
    const positions = ['5&_HLS_part=1', '5', '5&_HLS_part=2', '6&_HLS_part=0', '4&_HLS_part=9']
    const told: string[] = []
    const held = Array.from({ length: 5_000 }, (_, index) => {
      const opened = stage.ask(`_HLS_msn=${positions[index % positions.length]}`)
      opened.object.follow(() => told.push(bodyOf(opened)))
      return opened
    })
    expect(held.filter(({ outcome }) => outcome === 'expired')).toHaveLength(1)
    // The last of these positions is past the end of its segment, whose successor has begun.
    expect(new Set(held.map(({ object }) => object)).size).toBe(positions.length)
    expect(stage.upstream.asked).toEqual([playlistPath, `${playlistPath}?_HLS_msn=5&_HLS_part=1`])
    const first = stage.broadcast
    first.addParts(1)
    stage.wake(stage.text)
    expect(told).toHaveLength(1_000)
    expect(new Set(told)).toEqual(new Set([stage.text]))
    expect(stage.upstream.waits.map(({ target }) => target.key)).toEqual([
      `${playlistPath}?_HLS_msn=5&_HLS_part=2`,
    ])
  })

  it('is answered from the first version where none is here yet', () => {
    const stage = new Stage()
    const held = ['_HLS_msn=5&_HLS_part=0', '_HLS_msn=5&_HLS_part=1', '_HLS_msn=99', ''].map((it) =>
      stage.ask(it),
    )
    expect(held.map(({ outcome }) => outcome)).toEqual([
      'miss',
      'collapsed',
      'collapsed',
      'collapsed',
    ])
    stage.refresh(stage.text)
    expect(held.map(statusOf)).toEqual([200, undefined, 400, 200])
    expect(stage.upstream.open).toHaveLength(1)
  })

  it('is refused what nobody can know of, but not by a version that is old', async () => {
    const stage = Stage.warm()
    for (const query of ['_HLS_msn=7', '_HLS_msn=5&_HLS_part=7', '_HLS_msn=6&_HLS_part=6']) {
      expect([query, statusOf(stage.ask(query))]).toEqual([query, 400])
    }
    await stage.clock.advance(250)
    const held = stage.ask('_HLS_msn=7')
    expect(statusOf(held)).toBeUndefined()
    stage.broadcast.addSegments(2)
    stage.wake(stage.text)
    // Segment 7 is the next one now.
    expect(statusOf(held)).toBeUndefined()
    stage.broadcast.addSegments(1)
    stage.wake(stage.text)
    expect(bodyOf(held)).toBe(stage.text)
  })

  it('is not refused by a version that was old when it came', () => {
    const stage = new Stage()
    const held = stage.ask('_HLS_msn=8')
    stage.refresh(stage.text, { age: '5', 'cache-control': 'max-age=1' })
    expect(statusOf(held)).toBeUndefined()
    stage.broadcast.addSegments(4)
    stage.wake(stage.text)
    expect(bodyOf(held)).toBe(stage.text)
  })

  it('is told after nine seconds, or three target durations, that it has not come', async () => {
    const stage = Stage.warm()
    const held = stage.ask('_HLS_msn=5&_HLS_part=1')
    await stage.clock.advance(8_999)
    expect(statusOf(held)).toBeUndefined()
    await stage.clock.advance(1)
    expect(held.object.head).toMatchObject({ status: 503, retryAfter: '1' })
    const short = new Stage()
    short.ask()
    short.refresh(short.text.replace('TARGETDURATION:4', 'TARGETDURATION:2'))
    const other = short.ask('_HLS_msn=5&_HLS_part=1')
    await short.clock.advance(6_000)
    expect(statusOf(other)).toBe(503)
  })

  it('is not held by a server that does not block', () => {
    const stage = new Stage()
    stage.ask()
    stage.refresh(stage.text.replace('CAN-BLOCK-RELOAD=YES,', ''))
    expect(stage.ask('_HLS_msn=5&_HLS_part=1').outcome).toBe('hit')
    expect(stage.upstream.open).toEqual([])
  })

  it('may leave: what comes next is waited for two target durations more, then given up', async () => {
    const stage = Stage.warm()
    const { object } = stage.rendition.open(targetAt('_HLS_msn=5&_HLS_part=1')) as Opened
    object.follow(() => {})()
    await stage.clock.advance(7_999)
    expect(stage.upstream.waits).toHaveLength(1)
    await stage.clock.advance(1)
    expect(stage.upstream.open).toEqual([])
    expect(stage.rendition.isBusy).toBe(false)
    expect(stage.clock.pending).toBe(0)
  })

  it('is held beside all others that can be, with the shortest parts', () => {
    const stage = Stage.warm({ partTargetSeconds: 0.1 })
    let held = 0
    for (const skip of ['', '&_HLS_skip=YES', '&_HLS_skip=v2']) {
      for (const msn of [4, 5, 6]) {
        for (const part of ['', ...Array.from({ length: 70 }, (_, i) => `&_HLS_part=${i}`)]) {
          if (stage.ask(`_HLS_msn=${msn}${part}${skip}`).object.state === 'waiting') held++
        }
      }
    }
    expect(held).toBeGreaterThan(64)
  })

  it('is refused when questions are too many, and when fills are', () => {
    const stage = new Stage()
    for (let msn = 0; msn < 300; msn++) stage.ask(`_HLS_msn=${msn}`)
    expect(stage.rendition.open(targetAt('_HLS_msn=300'))).toBeUndefined()
    const full = new Stage()
    full.upstream.isFull = true
    expect(full.ask().object.head).toMatchObject({ status: 503, retryAfter: '1' })
  })
})

describe('an upstream', () => {
  it('that answers without what was waited for is not asked in a circle', async () => {
    const stage = Stage.warm()
    const held = stage.ask('_HLS_msn=5&_HLS_part=1')
    stage.wake(stage.text)
    expect(stage.upstream.open).toEqual([])
    await stage.clock.advance(499)
    expect(stage.upstream.open).toEqual([])
    await stage.clock.advance(1)
    expect(stage.upstream.waits).toHaveLength(1)
    expect(statusOf(held)).toBeUndefined()
  })

  it('that fails is asked again while the newest version can stand in; who waits does not notice', async () => {
    const stage = Stage.warm()
    const held = stage.ask('_HLS_msn=5&_HLS_part=1')
    // Once a part target, as if there were news.
    for (let passed = 0; passed < 5_000; passed += 500) {
      stage.upstream.waits[0]!.answer(502, '{}')
      expect(stage.upstream.open).toEqual([])
      await stage.clock.advance(500)
    }
    const polled = stage.ask()
    stage.upstream.refreshes[0]!.cut()
    expect(polled.object.substitute?.object.head?.status).toBe(200)
    expect(stage.ask()).toMatchObject({ outcome: 'stale-hit' })
    stage.broadcast.addParts(1)
    stage.wake(stage.text)
    expect(bodyOf(held)).toBe(stage.text)
  })

  it('that is silent has the newest version stand in for those who poll just before it is too old', async () => {
    const stage = Stage.warm()
    await stage.clock.advance(1_000)
    const [polled, held] = [stage.ask(), stage.ask('_HLS_msn=5&_HLS_part=1')]
    await stage.clock.advance(4_999)
    expect(statusOf(polled)).toBeUndefined()
    await stage.clock.advance(1)
    expect([polled.object.substitute?.object.head?.status, bodyOf(polled)]).toEqual([
      200,
      stage.text,
    ])
    expect(statusOf(held)).toBeUndefined()
    const late = stage.ask()
    await stage.clock.advance(8_999)
    expect(statusOf(late)).toBeUndefined()
    await stage.clock.advance(1)
    expect(late.object.head).toMatchObject({ status: 503, retryAfter: '1' })
    expect(stage.upstream.refreshes).toHaveLength(1)
  })

  it.each([
    [502, 503],
    [503, 503],
    [504, 504],
  ])(
    'that fails with %i for 1.5 target durations is a %i to all, with when to ask again',
    async (status, told) => {
      const stage = Stage.warm()
      await stage.clock.advance(5_900)
      const held = stage.ask('_HLS_msn=5&_HLS_part=1')
      await stage.clock.advance(100)
      stage.upstream.waits[0]!.answer(status, '{"error":"upstream"}')
      expect(held.object.head).toMatchObject({ status: told, retryAfter: '1' })
      expect(bodyOf(held)).toBe('{"error":"upstream"}')
      const polled = stage.ask()
      expect([polled.outcome, statusOf(polled)]).toEqual(['hit', told])
      await stage.clock.advance(250)
      const again = stage.ask('_HLS_msn=5&_HLS_part=1')
      stage.broadcast.addParts(1)
      stage.refresh(stage.text)
      expect(bodyOf(again)).toBe(stage.text)
    },
  )

  it('that has held a request as long as it holds any has not failed', async () => {
    const stage = Stage.warm()
    stage.ask('_HLS_msn=5&_HLS_part=1')
    await stage.clock.advance(8_000)
    const late = stage.ask('_HLS_msn=5&_HLS_part=2')
    await stage.clock.advance(4_000)
    stage.upstream.waits[0]!.answer(503, '{}')
    expect(statusOf(late)).toBeUndefined()
    await stage.clock.advance(250)
    stage.broadcast.addParts(2)
    stage.wake(stage.text)
    expect(bodyOf(late)).toBe(stage.text)
  })

  it('that knows nothing of the playlist says so to all, for a moment', async () => {
    const stage = Stage.warm()
    const held = stage.ask('_HLS_msn=5&_HLS_part=1')
    stage.upstream.waits[0]!.answer(404, '{"error":"offline"}')
    expect([statusOf(held), bodyOf(held)]).toEqual([404, '{"error":"offline"}'])
    expect(statusOf(stage.ask())).toBe(404)
    await stage.clock.advance(250)
    expect(stage.ask().outcome).toBe('miss')
  })

  it('that finds the next position too far is behind, and is given time', async () => {
    const stage = Stage.warm()
    const held = stage.ask('_HLS_msn=5&_HLS_part=1')
    stage.upstream.waits[0]!.answer(400, '{}')
    expect(statusOf(held)).toBeUndefined()
    await stage.clock.advance(500)
    stage.broadcast.addParts(1)
    stage.wake(stage.text)
    expect(bodyOf(held)).toBe(stage.text)
  })

  it.each([
    ['is no playlist', 'nonsense', {}],
    ['is not to be kept', undefined, { 'cache-control': 'no-store' }],
    ['is compressed', undefined, { 'content-encoding': 'gzip' }],
  ])(
    'whose answer %s is passed on as it is, and each position asked for apart',
    (_what, text, headers) => {
      const stage = new Stage()
      const held = ['', '_HLS_msn=5', '_HLS_msn=6'].map((it) => stage.ask(it))
      stage.refresh(text ?? stage.text, headers as Record<string, string>)
      expect(bodyOf(held[0]!)).toBe(text ?? stage.text)
      expect(stage.upstream.kept).toHaveLength(1)
      expect(stage.upstream.waits.map(({ target }) => target.key)).toEqual(
        ['5', '6'].map((msn) => `${playlistPath}?_HLS_msn=${msn}`),
      )
      stage.upstream.waits[1]!.answer(200, 'six')
      expect(bodyOf(held[2]!)).toBe('six')
      stage.upstream.waits[0]!.cut()
      expect(held[1]!.object.state).toBe('broken')
      expect(stage.rendition.open(targetAt())).toBe('opaque')
    },
  )
})

describe('never back', () => {
  /** What a source says that has not heard of the last two parts. */
  function behind(stage: Stage): string {
    const before = stage.text
    stage.broadcast.addParts(2)
    return before
  }

  it('an older version is neither served nor kept; the newer one stands in while it may', async () => {
    const stage = new Stage()
    const old = behind(stage)
    stage.ask()
    stage.refresh(stage.text)
    await stage.clock.advance(1_000)
    const polled = stage.ask()
    stage.refresh(old)
    expect(bodyOf(polled)).toBe(stage.text)
    const held = stage.ask('_HLS_msn=5&_HLS_part=3')
    await stage.clock.advance(500)
    stage.wake(old)
    expect(statusOf(held)).toBeUndefined()
    expect(await stage.count('cache_playlist_regressions_total')).toBe(2)
    await stage.clock.advance(5_000)
    const late = stage.ask()
    stage.refresh(old)
    expect([statusOf(late), bodyOf(late)]).toEqual([
      503,
      expect.stringContaining('upstream-behind'),
    ])
    await stage.clock.advance(250)
    // It has caught up.
    const again = stage.ask()
    stage.broadcast.addParts(1)
    stage.refresh(stage.text)
    expect(bodyOf(again)).toBe(stage.text)
  })

  it('an older take is refused, however far its numbers; a newer one is let in, however low', async () => {
    const stage = Stage.warm()
    const oldTake = new Stage()
    oldTake.broadcast.addSegments(9)
    stage.broadcast.beginTake()
    stage.broadcast.addSegments(1)
    const answered = async (text: string) => {
      await stage.clock.advance(1_000)
      const polled = stage.ask()
      stage.refresh(text)
      return bodyOf(polled)
    }
    expect(await answered(stage.text)).toBe(stage.text)
    expect(await answered(oldTake.text)).toBe(stage.text)
    const restarted = new ScriptedBroadcast({
      facts: { broadcastTag: 'zzzzzzzz99', firstNumber: 1 },
    })
    restarted.beginTake()
    restarted.addSegments(1)
    const next = liveMediaPlaylist(restarted, '720p')!
    expect(await answered(next)).toBe(next)
    // The broadcast before does not come back.
    expect(await answered(stage.text)).toBe(next)
  })

  it('a step back with a discontinuity is let in when nothing newer has come for 1.5 target durations', async () => {
    const names = (text: string) => text.replaceAll(/abcdefgh12-\d/g, 'elsewhere')
    const stage = new Stage()
    const old = names(behind(stage))
    stage.ask()
    stage.refresh(names(stage.text))
    const cut = old.replace('DISCONTINUITY-SEQUENCE:0', 'DISCONTINUITY-SEQUENCE:1')
    const answered = async (ms: number, text: string) => {
      await stage.clock.advance(ms)
      const polled = stage.ask()
      stage.refresh(text)
      return [statusOf(polled) ?? 200, bodyOf(polled)]
    }
    expect(await answered(5_000, cut)).toEqual([200, names(stage.text)])
    expect(await answered(1_000, old)).toEqual([503, expect.any(String)])
    expect(await answered(1_000, cut)).toEqual([200, cut])
  })

  it('an MPD does not go back behind its take or its time', async () => {
    const path = '/live/demo/manifest.mpd'
    const stage = new Stage({ path })
    const mpd = (take: number, second: number) =>
      `<?xml version="1.0"?>\n<MPD type="dynamic" publishTime="2026-01-01T00:00:0${second}.000Z"><Period id="abcdefgh12-${take}" start="PT1S"></Period></MPD>\n`
    const answered = async (text: string) => {
      await stage.clock.advance(1_000)
      const opened = stage.rendition.open(targetAt('', path)) as Opened
      stage.refresh(text)
      return bodyOf(opened)
    }
    expect(await answered(mpd(2, 3))).toBe(mpd(2, 3))
    expect(await answered(mpd(2, 2))).toBe(mpd(2, 3))
    expect(await answered(mpd(1, 9))).toBe(mpd(2, 3))
    expect(await answered(mpd(2, 4))).toBe(mpd(2, 4))
    expect(await answered(mpd(3, 1))).toBe(mpd(3, 1))
    expect(await answered('<MPD')).toBe('<MPD')
  })
})

describe('a purge', () => {
  it('forgets what was newest, and answers who waits with the next version', () => {
    const stage = Stage.warm()
    const held = stage.ask('_HLS_msn=5&_HLS_part=1')
    stage.rendition.purge()
    expect(stage.upstream.waits).toEqual([])
    stage.broadcast.addParts(1)
    stage.refresh(stage.text)
    expect(bodyOf(held)).toBe(stage.text)
  })
})

describe('ahead of viewers', () => {
  it('the newest segment is fetched for those who poll, its init section once seen', () => {
    const stage = Stage.warm()
    expect(stage.upstream.prefetched).toEqual([
      `${folder}abcdefgh12-1/720p/init.mp4`,
      `${folder}abcdefgh12-1/720p/4.m4s`,
    ])
  })

  it('the newest parts and the one that comes next are fetched for those who ask with positions', () => {
    const stage = Stage.warm()
    stage.ask('_HLS_msn=5&_HLS_part=1')
    stage.upstream.prefetched.length = 0
    stage.broadcast.addParts(3)
    stage.wake(stage.text)
    const files = ['init.mp4', 'p18.m4s', 'p19.m4s', 'p20.m4s', 'p21.m4s']
    expect(stage.upstream.prefetched).toEqual(files.map((it) => `${folder}abcdefgh12-1/720p/${it}`))
  })

  it('nothing is fetched that is not of the stream, or not media', () => {
    const stage = new Stage()
    stage.ask()
    stage.refresh(
      stage.text
        .replace(/\S+\/4\.m4s/, '../other/abcdefgh12-1/720p/4.m4s')
        .replace(/URI="[^"]+init.mp4"/, 'URI="index.m3u8"'),
    )
    expect(stage.upstream.prefetched).toEqual([])
  })
})
