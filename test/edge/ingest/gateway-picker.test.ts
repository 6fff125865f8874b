// Which gateway an edge turns to.
import fc from 'fast-check'
import { beforeEach, describe, expect, test } from 'vitest'
import type { NodeInfo } from '../../../common/contract/membership.ts'
import { GatewayPicker } from '../../../edge/ingest/gateway-picker.ts'
import { FakeClock } from '../../support/fake-clock.ts'
import { idleLoad } from '../../support/heartbeats.ts'

let clock: FakeClock

beforeEach(() => {
  clock = new FakeClock()
})

function gateway(id: string, host: string, streams = 0, more: Partial<NodeInfo> = {}): NodeInfo {
  return {
    id,
    role: 'gateway',
    instance: crypto.randomUUID(),
    version: '0',
    pid: 1,
    region: null,
    latitude: null,
    longitude: null,
    weight: 1,
    draining: false,
    urls: { http: `http://${host}:80`, rtmp: `rtmp://${host}:80/live` },
    load: { ...idleLoad, streams },
    ...more,
  }
}

function pickerOf(nodes: NodeInfo[], allowPlain = false): GatewayPicker {
  const picker = new GatewayPicker({ clock, allowPlain })
  picker.update({ generation: 1, nodes, routes: [] })
  return picker
}

const publishOrder = (picker: GatewayPicker, keyDigest?: string) =>
  picker.forPublish(keyDigest).map(({ id }) => id)

const playbackOrder = (picker: GatewayPicker, liveId: string) =>
  picker.forPlayback(liveId).map((url) => `gw-${url.slice('http://10.0.0.'.length, -':80'.length)}`)

/** Gateways `gw-1` to `gw-<n>` with what each carries. */
function gatewaysOf(streams: readonly number[]): NodeInfo[] {
  return streams.map((count, i) => gateway(`gw-${i + 1}`, `10.0.0.${i + 1}`, count))
}

describe('a gateway picker', () => {
  test('publishes to the least loaded one, and to one that failed last of all', async () => {
    const picker = pickerOf([gateway('gw-1', '10.0.0.1', 5), gateway('gw-2', '10.0.0.2', 1)])
    expect(publishOrder(picker)).toEqual(['gw-2', 'gw-1'])
    picker.reportFailure('gw-2')
    expect(publishOrder(picker)).toEqual(['gw-1', 'gw-2'])
    await clock.advance(5_000)
    expect(publishOrder(picker)).toEqual(['gw-2', 'gw-1'])
  })

  test('leaves out one that drains, and one of weight 0', () => {
    const picker = pickerOf([
      gateway('gw-1', '10.0.0.1', 0, { draining: true }),
      gateway('gw-2', '10.0.0.2'),
      gateway('gw-3', '10.0.0.3', 0, { weight: 0 }),
    ])
    expect(publishOrder(picker)).toEqual(['gw-2'])
    expect(picker.forPlayback('demo')).toEqual(['http://10.0.0.2:80'])
  })

  test('plays by the hash of the live id, with the others behind', () => {
    const nodes = ['gw-1', 'gw-2', 'gw-3'].map((id, i) => gateway(id, `10.0.0.${i + 1}`))
    const order = pickerOf(nodes).forPlayback('demo')
    expect(order).toHaveLength(3)
    expect(pickerOf(nodes.toReversed()).forPlayback('demo')).toEqual(order)
    const firsts = Array.from({ length: 50 }, (_, i) => pickerOf(nodes).forPlayback(`live-${i}`)[0])
    expect(new Set(firsts).size).toBe(3)
  })

  test('refuses a plain connection to a public address unless that is allowed', () => {
    const nodes = [gateway('gw-1', '93.184.216.34')]
    const careful = pickerOf(nodes)
    expect(publishOrder(careful)).toEqual([])
    expect(careful.forPlayback('demo')).toEqual([])
    expect(careful.problem).toContain('upstream.allowPlain')
    const bold = pickerOf(nodes, true)
    expect(publishOrder(bold)).toEqual(['gw-1'])
    expect(bold.problem).toBeUndefined()
  })

  test('reaches gateways by mutual TLS only, where that is asked for', () => {
    const plain = gateway('gw-1', '10.0.0.1')
    const secure = gateway('gw-2', '10.0.0.2', 9)
    secure.urls.https = 'https://gw-2.example.com'
    const picker = new GatewayPicker({ clock, allowPlain: false, isSecure: true })
    picker.update({ generation: 1, nodes: [plain, secure], routes: [] })
    expect(picker.forPublish()).toEqual([
      {
        id: 'gw-2',
        http: 'https://gw-2.example.com',
        host: 'gw-2.example.com',
        rtmpPort: 443,
        isSecure: true,
      },
    ])
    expect(picker.forPlayback('demo')).toEqual(['https://gw-2.example.com'])
    picker.update({ generation: 2, nodes: [plain], routes: [] })
    expect(picker.problem).toContain('gw-1 has no port for mutual TLS')
  })

  test('says so when there is none', () => {
    expect(pickerOf([]).problem).toContain('knows no gateway')
  })
})

describe('a publisher', () => {
  test('is sent by the hash of its live id, as viewers are, once that is known', () => {
    const picker = pickerOf(gatewaysOf([9, 0, 5]))
    const liveId = Array.from({ length: 100 }, (_, i) => `live-${i}`).find(
      (id) => playbackOrder(picker, id)[0] === 'gw-1',
    )!
    expect(publishOrder(picker, 'digest')[0]).toBe('gw-2')
    picker.learned('digest', liveId)
    expect(publishOrder(picker, 'digest')).toEqual(playbackOrder(picker, liveId))
    expect(publishOrder(picker, 'another')[0]).toBe('gw-2')
    picker.learned('digest', 'live-elsewhere')
    expect(publishOrder(picker, 'digest')).toEqual(playbackOrder(picker, 'live-elsewhere'))
  })

  test('goes on to the next by the hash when the first fails, and back when that is over', async () => {
    const picker = pickerOf(gatewaysOf([0, 0, 0]))
    picker.learned('digest', 'demo')
    const [first, second, third] = publishOrder(picker, 'digest')
    picker.reportFailure(first!)
    expect(publishOrder(picker, 'digest')).toEqual([second, third, first])
    expect(playbackOrder(picker, 'demo')).toEqual([second, third, first])
    picker.reportFailure(second!)
    expect(publishOrder(picker, 'digest')).toEqual([third, first, second])
    await clock.advance(5_000)
    expect(publishOrder(picker, 'digest')).toEqual([first, second, third])
  })

  test('is forgotten when ten thousand others have come since', () => {
    const picker = pickerOf(gatewaysOf([9, 0]))
    const liveId = Array.from({ length: 100 }, (_, i) => `live-${i}`).find(
      (id) => playbackOrder(picker, id)[0] === 'gw-1',
    )!
    picker.learned('digest', liveId)
    for (let i = 1; i < 10_000; i++) picker.learned(`digest-${i}`, 'demo')
    expect(publishOrder(picker, 'digest')[0]).toBe('gw-1')
    picker.learned('digest-10000', 'demo')
    expect(publishOrder(picker, 'digest')[0]).toBe('gw-2')
  })

  test('is sent where the load is least for the weight', () => {
    const heavy = gateway('gw-1', '10.0.0.1', 12, { weight: 4 })
    const picker = pickerOf([heavy, gateway('gw-2', '10.0.0.2', 4)])
    expect(publishOrder(picker, 'digest')[0]).toBe('gw-1')
  })

  test('does not follow the crowd while figures are on their way', async () => {
    const picker = pickerOf(gatewaysOf([10, 12]))
    const firsts = (count: number) => {
      const chosen = Array.from({ length: count }, (_, i) => publishOrder(picker, `digest-${i}`)[0])
      return chosen.filter((id) => id === 'gw-1').length
    }
    expect(firsts(100)).toBe(51)
    // Nothing new of the gateways: what was handed out still counts.
    picker.update({ generation: 2, nodes: gatewaysOf([10, 12]), routes: [] })
    expect(firsts(2)).toBe(1)
    picker.update({ generation: 3, nodes: gatewaysOf([61, 63]), routes: [] })
    expect(firsts(2)).toBe(2)
    await clock.advance(6_000)
    expect(firsts(2)).toBe(2)
  })
})

describe('by hash', () => {
  const loads = fc.array(fc.nat({ max: 50 }), { minLength: 2, maxLength: 8 })
  const liveIds = Array.from({ length: 100 }, (_, i) => `channel-${i}`)

  test('every edge has the same order, whatever it knows of loads and in which order', () => {
    fc.assert(
      fc.property(loads, fc.nat({ max: 99 }), fc.boolean(), (streams, pick, isReversed) => {
        const liveId = `channel-${pick}`
        const one = pickerOf(gatewaysOf(streams))
        const idle = gatewaysOf(streams.map(() => 0))
        const other = pickerOf(isReversed ? idle.toReversed() : idle)
        for (const picker of [one, other]) picker.learned('digest', liveId)
        publishOrder(one, 'somebody else')
        expect(publishOrder(other, 'digest')).toEqual(publishOrder(one, 'digest'))
        expect(playbackOrder(other, liveId)).toEqual(publishOrder(one, 'digest'))
      }),
      { numRuns: 60 },
    )
  })

  test('a gateway that goes moves only its own live ids, and gets back just those', () => {
    fc.assert(
      fc.property(loads, fc.nat(), (streams, pick) => {
        const all = gatewaysOf(streams)
        const gone = all[pick % all.length]!
        const picker = pickerOf(all)
        const firsts = () => liveIds.map((liveId) => playbackOrder(picker, liveId)[0])
        const before = firsts()
        const rest = all.filter((node) => node !== gone)
        picker.update({ generation: 2, nodes: rest, routes: [] })
        for (const [i, first] of firsts().entries()) {
          if (before[i] === gone.id) expect(first).not.toBe(gone.id)
          else expect(first).toBe(before[i])
        }
        picker.update({ generation: 3, nodes: all, routes: [] })
        expect(firsts()).toEqual(before)
      }),
      { numRuns: 40 },
    )
  })

  test('a gateway that fails is stood in for by the next, which it is without that gateway too', () => {
    fc.assert(
      fc.property(loads, fc.nat({ max: 99 }), (streams, pick) => {
        const liveId = `channel-${pick}`
        const all = gatewaysOf(streams)
        const failing = pickerOf(all)
        const [first] = playbackOrder(failing, liveId)
        failing.reportFailure(first!)
        const without = pickerOf(all.filter((node) => node.id !== first))
        expect(playbackOrder(failing, liveId)).toEqual([...playbackOrder(without, liveId), first])
      }),
      { numRuns: 40 },
    )
  })
})
