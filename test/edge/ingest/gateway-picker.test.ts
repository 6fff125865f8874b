// Which gateway an edge turns to.
import { beforeEach, describe, expect, test } from 'vitest'
import type { NodeInfo } from '../../../common/contract/membership.ts'
import { GatewayPicker } from '../../../edge/ingest/gateway-picker.ts'
import { FakeClock } from '../../support/fake-clock.ts'

let clock: FakeClock

beforeEach(() => {
  clock = new FakeClock()
})

function gateway(id: string, host: string, streams = 0, draining = false): NodeInfo {
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
    draining,
    urls: { http: `http://${host}:80`, rtmp: `rtmp://${host}:80/live` },
    load: {
      cpu: 0,
      memoryBytes: 0,
      streams,
      cost: 0,
      viewers: 0,
      bitsInPerSecond: 0,
      bitsOutPerSecond: 0,
    },
  }
}

function pickerOf(nodes: NodeInfo[], allowPlain = false): GatewayPicker {
  const picker = new GatewayPicker({ clock, allowPlain })
  picker.update({ generation: 1, nodes, routes: [] })
  return picker
}

const publishOrder = (picker: GatewayPicker) => picker.forPublish().map(({ id }) => id)

describe('a gateway picker', () => {
  test('publishes to the least loaded one, and to one that failed last of all', async () => {
    const picker = pickerOf([gateway('gw-1', '10.0.0.1', 5), gateway('gw-2', '10.0.0.2', 1)])
    expect(publishOrder(picker)).toEqual(['gw-2', 'gw-1'])
    picker.reportFailure('gw-2')
    expect(publishOrder(picker)).toEqual(['gw-1', 'gw-2'])
    await clock.advance(5_000)
    expect(publishOrder(picker)).toEqual(['gw-2', 'gw-1'])
  })

  test('leaves out one that drains', () => {
    const picker = pickerOf([gateway('gw-1', '10.0.0.1', 0, true), gateway('gw-2', '10.0.0.2')])
    expect(publishOrder(picker)).toEqual(['gw-2'])
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
