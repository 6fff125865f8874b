// Trust plans name the commands of the system at hand, and stop at the first that fails.
import { describe, expect, it } from 'vitest'
import { applyTrust, shellLines, trustPlan } from '../../../common/local-ca/trust.ts'

const target = (platform: NodeJS.Platform, ...paths: string[]) => ({
  platform,
  has: (path: string) => paths.includes(path),
  caFile: "/srv/it's here/ca.pem",
  fingerprint256: 'AB:CD:EF:01:23',
})

describe('trustPlan', () => {
  it.each([
    ['linux', '/usr/sbin/update-ca-certificates', 'update-ca-certificates', 'abcdef01.crt'],
    ['linux', '/etc/pki/ca-trust/source/anchors', 'update-ca-trust', 'abcdef01.pem'],
    ['linux', '/etc/ca-certificates/trust-source/anchors', 'update-ca-trust', 'abcdef01.crt'],
  ] as const)('knows %s with %s', (platform, path, last, file) => {
    const plan = trustPlan(target(platform, path))!
    expect(plan.commands.at(-1)).toEqual([last])
    expect(plan.commands[0]!.at(-1)).toContain(`nearcast-${file}`)
  })

  it('knows macOS', () => {
    expect(trustPlan(target('darwin'))!.commands[0]!.slice(0, 2)).toEqual([
      'security',
      'add-trusted-cert',
    ])
  })

  it.each(['linux', 'win32'] as const)('knows nothing of another %s', (platform) => {
    expect(trustPlan(target(platform))).toBeUndefined()
  })

  it('prints lines that a shell takes as they are', () => {
    const lines = shellLines(trustPlan(target('linux', '/usr/sbin/update-ca-certificates'))!)
    expect(lines).toEqual([
      `sudo install -m 644 '/srv/it'\\''s here/ca.pem' /usr/local/share/ca-certificates/nearcast-abcdef01.crt`,
      'sudo update-ca-certificates',
    ])
  })
})

describe('applyTrust', () => {
  const plan = { system: 'test', commands: [['one', 'a'], ['two'], ['three']] }

  it('runs the commands in order', async () => {
    const ran: string[] = []
    await applyTrust(plan, async (command, args) => ran.push([command, ...args].join(' ')))
    expect(ran).toEqual(['one a', 'two', 'three'])
  })

  it('stops at the first that fails and names it', async () => {
    const ran: string[] = []
    const run = async (command: string) => {
      ran.push(command)
      if (command === 'two') throw new Error('no rights')
    }
    await expect(applyTrust(plan, run)).rejects.toThrow('"two" failed: no rights')
    expect(ran).toEqual(['one', 'two'])
  })
})
