// Viewers per live id.
import { describe, expect, it } from 'vitest'
import { ViewerCounter } from '../../../edge/delivery/viewer-counter.ts'
import { ViewerReports } from '../../../edge/worker/viewer-reports.ts'
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

describe('viewers at two workers', () => {
  it('count once, and for as long as they come back', async () => {
    const clock = new FakeClock()
    const counter = new ViewerCounter({ clock })
    const workers = [new ViewerReports(clock, 'salt'), new ViewerReports(clock, 'salt')]
    const report = () => {
      for (const worker of workers) {
        for (const [liveId, names] of worker.take()) {
          for (const name of names) counter.seen(liveId, name)
        }
      }
    }
    for (let second = 0; second < 40; second++) {
      for (const worker of workers) worker.seen('demo', worker.viewerOf('10.0.0.1', 'hls.js'))
      workers[second % 2]!.seen('demo', workers[second % 2]!.viewerOf('10.0.0.2', 'hls.js'))
      report()
      expect(counter.counts()).toEqual([{ liveId: 'demo', current: 2, total: 2 }])
      await clock.advance(1_000)
    }
    await clock.advance(15_000)
    report()
    expect(counter.counts()).toEqual([{ liveId: 'demo', current: 0, total: 2 }])
  })

  it('are told of once in five seconds, not with each request', async () => {
    const clock = new FakeClock()
    const reports = new ViewerReports(clock, 'salt')
    let told = 0
    for (let request = 0; request < 20; request++) {
      reports.seen('demo', reports.viewerOf('10.0.0.1', 'hls.js'))
      told += reports.take().length
      await clock.advance(500)
    }
    expect(told).toBe(2)
  })
})
