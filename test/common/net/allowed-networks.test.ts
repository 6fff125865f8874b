// Who is inside a list of networks, and what counts as the public internet.
import { describe, expect, it } from 'vitest'
import {
  createNetworkList,
  isNetwork,
  isPublicAddress,
} from '../../../common/net/allowed-networks.ts'

describe('createNetworkList', () => {
  const list = createNetworkList(['10.0.0.0/8', '192.0.2.7', '::1/128', 'fd00::/8'])

  it.each([
    ['10.1.2.3', true],
    ['::ffff:10.1.2.3', true],
    ['::ffff:a01:203', true],
    ['192.0.2.7', true],
    ['192.0.2.8', false],
    ['::1', true],
    ['fd12::1', true],
    ['fd12::1%eth0', true],
    ['2001:db8::1', false],
    ['11.0.0.1', false],
    ['not an address', false],
    [undefined, false],
  ])('%s: %s', (address, isIncluded) => {
    expect(list.includes(address)).toBe(isIncluded)
  })

  it('lets nobody in when it is empty', () => {
    expect(createNetworkList([]).includes('127.0.0.1')).toBe(false)
  })

  it.each(['10.0.0.0/33', '10.0.0/8', 'fd00::/129', 'localhost', '', '10.0.0.0/'])(
    'names the entry %j that it cannot read',
    (entry) => {
      expect(() => createNetworkList(['127.0.0.0/8', entry])).toThrow(`"${entry}"`)
      expect(isNetwork(entry)).toBe(false)
    },
  )
})

describe('isPublicAddress', () => {
  it.each([
    ['8.8.8.8', true],
    ['::ffff:8.8.8.8', true],
    ['2606:4700::1111', true],
    ['[2606:4700::1111]', true],
    ['172.15.0.1', true],
    ['172.16.0.1', false],
    ['172.31.255.255', false],
    ['172.32.0.1', true],
    ['127.0.0.1', false],
    ['::1', false],
    ['[::1]', false],
    ['::ffff:127.0.0.1', false],
    ['100.64.0.1', false],
    ['169.254.169.254', false],
    ['fe80::1%eth0', false],
    ['fd00::1', false],
    ['0.0.0.0', false],
    ['localhost', false],
    ['gateway', false],
    ['gw.default.svc.cluster.local', false],
    ['gw.example.org', true],
    ['gw.example.org.', true],
  ])('%s: %s', (host, isPublic) => {
    expect(isPublicAddress(host)).toBe(isPublic)
  })
})
