// Viewers per live id.
import { describe, expect, it } from 'vitest'
import { ViewerCounter } from '../../../edge/delivery/viewer-counter.ts'
import { FakeClock } from '../../support/fake-clock.ts'

describe('ViewerCounter', () => {
  it('counts distinct address and agent within 15 s, and arrivals since the start', async () => {
    const clock = new FakeClock()
    const counter = new ViewerCounter({ clock })
    counter.seen('demo', counter.viewerOf('10.0.0.1', 'hls.js'))
    counter.seen('demo', counter.viewerOf('10.0.0.1', 'hls.js'))
    counter.seen('demo', counter.viewerOf('10.0.0.1', 'dash.js'))
    counter.seen('other', counter.viewerOf('10.0.0.2', 'hls.js'))
    expect(counter.counts()).toEqual([
      { liveId: 'demo', current: 2, total: 2 },
      { liveId: 'other', current: 1, total: 1 },
    ])
    await clock.advance(10_000)
    counter.seen('demo', counter.viewerOf('10.0.0.1', 'dash.js'))
    await clock.advance(5_000)
    expect(counter.counts()[0]).toEqual({ liveId: 'demo', current: 1, total: 2 })
    await clock.advance(10_000)
    counter.seen('demo', counter.viewerOf('10.0.0.1', 'dash.js'))
    expect(counter.counts()).toEqual([
      { liveId: 'demo', current: 1, total: 3 },
      { liveId: 'other', current: 0, total: 1 },
    ])
  })

  it('counts no more viewers than its bound', async () => {
    const clock = new FakeClock()
    const counter = new ViewerCounter({ clock, maxViewers: 3 })
    for (let n = 0; n < 10; n++) counter.seen('demo', counter.viewerOf(`10.0.0.${n}`, ''))
    expect(counter.counts()).toEqual([{ liveId: 'demo', current: 3, total: 3 }])
    await clock.advance(15_000)
    expect(counter.counts()[0]?.current).toBe(0)
    counter.seen('demo', counter.viewerOf('10.0.0.9', ''))
    expect(counter.counts()).toEqual([{ liveId: 'demo', current: 1, total: 4 }])
  })

  it('gives up deserted live ids for new ones at its bound, never ones with viewers', async () => {
    const clock = new FakeClock()
    const counter = new ViewerCounter({ clock, maxLiveIds: 2 })
    for (const liveId of ['a', 'b', 'c']) counter.seen(liveId, counter.viewerOf('10.0.0.1', ''))
    expect(counter.counts().map(({ liveId }) => liveId)).toEqual(['a', 'b'])
    await clock.advance(14_000)
    counter.seen('b', counter.viewerOf('10.0.0.1', ''))
    await clock.advance(2_000)
    counter.seen('c', counter.viewerOf('10.0.0.1', ''))
    expect(counter.counts().map(({ liveId }) => liveId)).toEqual(['b', 'c'])
  })
})
