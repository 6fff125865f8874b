// The local CA: certificates that TLS clients take, the same ones over restarts, and no race when it is made.
import { X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { checkServerIdentity, connect, createServer } from 'node:tls'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type Clock, systemClock } from '../../../common/clock.ts'
import { caFile, LocalCa, readCaFacts } from '../../../common/local-ca/local-ca.ts'
import { FakeClock } from '../../support/fake-clock.ts'

const dayMs = 24 * 60 * 60 * 1000
let dir: string

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'nearcast-ca-'))
})
afterEach(() => rm(dir, { recursive: true }))

const open = (clock: Clock = new FakeClock()) => LocalCa.open({ dir, clock })

describe('LocalCa', () => {
  it.each(['localhost', '127.0.0.1', '::1', 'pop.example.org', 'any.example.net'])(
    'issues a certificate that a client of %s takes',
    async (name) => {
      const ca = await open(systemClock)
      const names = ['localhost', '127.0.0.1', '::1', 'POP.example.org', '*.example.net']
      const { certificatePem, keyPem } = await ca.issue(names)
      const server = createServer({ cert: certificatePem, key: keyPem })
      server.listen(0, '127.0.0.1')
      await once(server, 'listening')
      const client = connect({
        port: (server.address() as AddressInfo).port,
        host: '127.0.0.1',
        ca: await readFile(caFile(dir)),
        checkServerIdentity: (_host, certificate) => checkServerIdentity(name, certificate),
      })
      await once(client, 'secureConnect')
      expect(client.authorized).toBe(true)
      client.destroy()
      server.close()
    },
  )

  it('keeps the key from other users and leaves no temporary file', async () => {
    const ca = await open()
    await ca.issue(['localhost'])
    const files = (await readdir(dir)).sort()
    expect(files).toEqual([
      'ca-key.pem',
      'ca.pem',
      expect.stringMatching(/^leaf-[0-9a-f]{16}\.pem$/),
    ])
    const modes = await Promise.all(
      files.map(async (file) => ((await stat(join(dir, file))).mode & 0o777).toString(8)),
    )
    expect(modes).toEqual(['600', '644', '600'])
  })

  it('makes an authority that can issue servers only, and servers that can issue nothing', async () => {
    const ca = await open()
    const { certificatePem } = await ca.issue(['localhost'])
    const authority = new X509Certificate(await readFile(caFile(dir)))
    const leaf = new X509Certificate(certificatePem)
    expect(authority.ca).toBe(true)
    expect(leaf.ca).toBe(false)
    expect(leaf.keyUsage).toEqual(['1.3.6.1.5.5.7.3.1'])
    expect(leaf.checkIssued(authority)).toBe(true)
    const lifetimeMs = leaf.validToDate.getTime() - leaf.validFromDate.getTime()
    expect(lifetimeMs / dayMs).toBeLessThanOrEqual(397)
  })

  it('answers the same certificate after a restart, in any order of the names', async () => {
    const clock = new FakeClock()
    const first = await (await open(clock)).issue(['a.test', 'b.test'])
    const again = await (await open(clock)).issue(['b.test', 'a.test'])
    expect(again).toEqual(first)
    const other = await (await open(clock)).issue(['a.test'])
    expect(other.certificatePem).not.toBe(first.certificatePem)
  })

  it('issues anew when it is time to renew, not before', async () => {
    const clock = new FakeClock()
    const ca = await open(clock)
    const first = await ca.issue(['localhost'])
    clock.stepWall(first.renewAt - clock.now() - 1)
    expect(await ca.issue(['localhost'])).toEqual(first)
    clock.stepWall(1)
    const second = await ca.issue(['localhost'])
    expect(second.certificatePem).not.toBe(first.certificatePem)
    expect(second.renewAt).toBeGreaterThan(first.renewAt)
  })

  it('replaces a server certificate file that is damaged', async () => {
    const ca = await open()
    await ca.issue(['localhost'])
    const leaf = (await readdir(dir)).find((file) => file.startsWith('leaf-'))!
    await writeFile(join(dir, leaf), 'damaged')
    expect((await ca.issue(['localhost'])).certificatePem).toContain('BEGIN CERTIFICATE')
  })

  it('is one authority for all who open the directory at the same time', async () => {
    const all = await Promise.all(Array.from({ length: 8 }, () => open()))
    const authority = new X509Certificate(await readFile(caFile(dir)))
    for (const ca of all) {
      const { certificatePem } = await ca.issue(['localhost'])
      expect(new X509Certificate(certificatePem).verify(authority.publicKey)).toBe(true)
    }
    expect((await readdir(dir)).filter((file) => file.endsWith('.tmp'))).toEqual([])
  })

  it.each(['first', 'renewed'])(
    'answers one %s certificate to all who ask at the same time',
    async (which) => {
      const clock = new FakeClock()
      const all = await Promise.all(Array.from({ length: 8 }, () => open(clock)))
      if (which === 'renewed') {
        const { renewAt } = await all[0]!.issue(['localhost'])
        clock.stepWall(renewAt - clock.now())
      }
      const issued = await Promise.all(all.map((ca) => ca.issue(['localhost'])))
      const again = await (await open(clock)).issue(['localhost'])
      expect(new Set([...issued, again].map((it) => it.certificatePem)).size).toBe(1)
      const files = await readdir(dir)
      expect(files.filter((file) => /^leaf-\w+\.pem$/.test(file))).toHaveLength(1)
      expect(files).toHaveLength(3)
    },
  )

  it('heals when its maker died between the key and the certificate', async () => {
    await open()
    await rm(caFile(dir))
    const { certificatePem } = await (await open()).issue(['localhost'])
    const authority = new X509Certificate(await readFile(caFile(dir)))
    expect(new X509Certificate(certificatePem).verify(authority.publicKey)).toBe(true)
  })

  it('says which file is wrong when key and certificate do not match', async () => {
    await open()
    await rm(join(dir, 'ca-key.pem'))
    await expect(open()).rejects.toMatchObject({ code: 'local-ca-broken' })
    await expect(open()).rejects.toThrow(caFile(dir))
  })

  it('says which file cannot be read', async () => {
    await open()
    await writeFile(caFile(dir), 'nonsense')
    await expect(open()).rejects.toThrow(`${caFile(dir)} cannot be read`)
    await expect(readCaFacts(dir)).rejects.toThrow(`${caFile(dir)} cannot be read`)
  })

  it('refuses an authority that has expired', async () => {
    const clock = new FakeClock()
    await open(clock)
    clock.stepWall(3_651 * dayMs)
    await expect(open(clock)).rejects.toThrow('expired')
  })
})

describe('readCaFacts', () => {
  it('tells what there is and makes nothing', async () => {
    expect(await readCaFacts(dir)).toBeUndefined()
    expect(await readdir(dir)).toEqual([])
    await open()
    const facts = await readCaFacts(dir)
    expect(facts).toMatchObject({ file: caFile(dir), pem: expect.stringContaining('CERTIFICATE') })
    expect(facts!.subject).toContain('Nearcast local CA')
    expect(facts!.fingerprint256).toMatch(/^([0-9A-F]{2}:){31}[0-9A-F]{2}$/)
  })
})
