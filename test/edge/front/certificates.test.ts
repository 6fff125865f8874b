// Certificates of the TLS port: chosen by server name, exchanged while connections live, kept when the new ones
// are bad.
import { randomBytes, X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { mkdir, mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { systemClock } from '../../../common/clock.ts'
import { type IssuedCertificate, LocalCa, readCaFacts } from '../../../common/local-ca/local-ca.ts'
import { CertificateStore } from '../../../edge/front/certificates.ts'
import { FakeClock } from '../../support/fake-clock.ts'
import { RequestStorm } from '../../support/request-storm.ts'
import { until } from '../../support/until.ts'
import { captureLog, openDoor, type TestDoor, tlsClient } from './support.ts'

let dir: string
let authority: LocalCa
let ca: string

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'nearcast-certificates-'))
  authority = await LocalCa.open({ dir: join(dir, 'authority'), clock: systemClock })
  ca = (await readCaFacts(join(dir, 'authority')))!.pem
})
afterEach(() => rm(dir, { recursive: true }))

const pathsOf = (name: string) => ({
  certFile: join(dir, `${name}.crt`),
  keyFile: join(dir, `${name}.key`),
})

async function write(name: string, issued: IssuedCertificate) {
  const { certFile, keyFile } = pathsOf(name)
  await writeFile(certFile, issued.certificatePem)
  await writeFile(keyFile, issued.keyPem)
  return { certFile, keyFile }
}

async function replace(name: string, issued: IssuedCertificate) {
  const { certFile, keyFile } = await write(`${name}.new`, issued)
  await rename(certFile, pathsOf(name).certFile)
  await rename(keyFile, pathsOf(name).keyFile)
}

async function commonNameAt(door: TestDoor, servername: string): Promise<unknown> {
  const client = await tlsClient(
    { port: door.port, ca },
    {
      servername,
      checkServerIdentity: () => undefined,
    },
  )
  const { CN } = client.getPeerCertificate().subject
  client.destroy()
  return CN
}

describe('server names', () => {
  it.each([
    ['a.test', 'a.test'],
    ['A.TEST', 'a.test'],
    ['b.test', 'b.test'],
    ['x.wild.test', 'b.test'],
    ['x.y.wild.test', 'a.test'],
    ['wild.test', 'a.test'],
    ['unknown.test', 'a.test'],
    [`${'x'.repeat(60)}.test`, 'a.test'],
    ['', 'a.test'],
  ])('%s gets the certificate of %s', async (servername, expected) => {
    const files = [
      await write('a', await authority.issue(['a.test'])),
      await write('b', await authority.issue(['b.test', '*.wild.test', 'a.test'])),
    ]
    await using door = await openDoor({ tls: { certificates: files } })
    expect(await commonNameAt(door, servername)).toBe(expected)
  })

  it('choose without throwing, whatever the name', async () => {
    const { certFile, keyFile } = await write('a', await authority.issue(['a.test']))
    await using store = new CertificateStore({
      files: [{ certFile, keyFile }],
      localCa: undefined,
      clock: new FakeClock(),
      log: captureLog().log,
    })
    await store.start()
    for (const name of ['', '.', '..', '\0', '*', '*.test', 'ü.test', 'x'.repeat(4_096)]) {
      expect(store.select(name)).toBeUndefined()
    }
  })
})

describe('exchange', () => {
  it('gives new connections the new certificate and leaves the old ones alone', async () => {
    const files = [await write('a', await authority.issue(['old.test']))]
    await using door = await openDoor({ tls: { certificates: files } })
    const before = await tlsClient({ port: door.port, ca }, { servername: 'old.test' })
    before.write(Buffer.from([3]))
    await once(before, 'data')

    await replace('a', await authority.issue(['new.test']))
    await door.logged.until('certificates loaded')

    expect(await commonNameAt(door, 'new.test')).toBe('new.test')
    expect(await commonNameAt(door, '')).toBe('new.test')
    before.write('still here')
    const [echoed] = await once(before, 'data')
    expect(String(echoed)).toBe('still here')
    before.destroy()
  })

  describe.each([
    ['with ticket keys of all workers', { ticketKeys: randomBytes(48), reusePort: false }],
    ['with ticket keys of its own', undefined],
  ])('%s', (_name, shared) => {
    it.each(['TLSv1.2', 'TLSv1.3'] as const)(
      'serves who resumes a %s session of before, and shows the new one to others',
      async (maxVersion) => {
        const files = [await write('a', await authority.issue(['a.test']))]
        await using door = await openDoor({
          tls: { certificates: files },
          ...(shared && { shared }),
        })
        const visit = async (session?: Buffer) => {
          const client = await tlsClient(
            { port: door.port, ca },
            { servername: 'a.test', maxVersion, ...(session && { session }) },
          )
          const isReused = client.isSessionReused()
          // In TLS 1.3 the tickets come before what is echoed.
          client.write(Buffer.from([3]))
          const [echoed] = await once(client, 'data')
          expect(echoed).toEqual(Buffer.from([3]))
          const { serialNumber } = client.getPeerCertificate()
          const visited = { isReused, serialNumber, session: client.getSession()! }
          client.destroy()
          return visited
        }
        const before = await visit()
        expect((await visit(before.session)).isReused).toBe(true)

        const next = await authority.issue(['a.test', 'next.test'])
        await replace('a', next)
        await door.logged.until('certificates loaded')
        const { serialNumber } = new X509Certificate(next.certificatePem)
        expect(serialNumber).not.toBe(before.serialNumber)

        const again = await visit(before.session)
        // Who resumes is shown no certificate; the keys that all workers have outlive a reload.
        expect(again.isReused).toBe(shared !== undefined)
        if (!again.isReused) expect(again.serialNumber).toBe(serialNumber)
        const fresh = await visit()
        expect(fresh).toMatchObject({ isReused: false, serialNumber })
        expect((await visit(fresh.session)).isReused).toBe(true)
      },
    )
  })

  it('sees a symbolic link that is switched', async () => {
    for (const [folder, name] of [
      ['1', 'old.test'],
      ['2', 'new.test'],
    ] as const) {
      await mkdir(join(dir, folder))
      await write(`${folder}/tls`, await authority.issue([name]))
    }
    const [certFile, keyFile] = [join(dir, 'live.crt'), join(dir, 'live.key')]
    await symlink(join(dir, '1/tls.crt'), certFile)
    await symlink(join(dir, '1/tls.key'), keyFile)
    await using door = await openDoor({ tls: { certificates: [{ certFile, keyFile }] } })
    for (const [file, target] of [
      [certFile, '2/tls.crt'],
      [keyFile, '2/tls.key'],
    ] as const) {
      await symlink(join(dir, target), `${file}.new`)
      await rename(`${file}.new`, file)
    }
    await door.logged.until('certificates loaded')
    expect(await commonNameAt(door, 'new.test')).toBe('new.test')
  })

  it('takes a new list of files whole', async () => {
    const first = await write('a', await authority.issue(['old.test']))
    const second = await write('b', await authority.issue(['new.test']))
    await using door = await openDoor({ tls: { certificates: [first] } })
    await door.door.reload([second, first])
    expect(await commonNameAt(door, '')).toBe('new.test')
    expect(await commonNameAt(door, 'old.test')).toBe('old.test')
  })

  it('keeps the old list when one of the new files cannot be read', async () => {
    const first = await write('a', await authority.issue(['old.test']))
    await using door = await openDoor({ tls: { certificates: [first] } })
    await expect(door.door.reload([pathsOf('missing'), first])).rejects.toThrow('missing.crt')
    expect(await commonNameAt(door, '')).toBe('old.test')
    await door.door.reload()
    expect(await commonNameAt(door, '')).toBe('old.test')
  })

  it('keeps the old certificate when the new key does not fit', async () => {
    const files = [await write('a', await authority.issue(['old.test']))]
    await using door = await openDoor({ tls: { certificates: files } })
    const [one, other] = [await authority.issue(['new.test']), await authority.issue(['x.test'])]
    await replace('a', { ...one, keyPem: other.keyPem })
    const line = await door.logged.until('new certificate refused')
    expect(line.detail).toContain('do not belong together')
    expect(line.detail).toContain(files[0]!.certFile)
    expect(await commonNameAt(door, 'new.test')).toBe('old.test')
    await replace('a', one)
    await door.logged.until('certificates loaded')
    expect(await commonNameAt(door, 'new.test')).toBe('new.test')
  })

  it('fails no request and ends no connection under traffic, whether the new ones are good or bad', async () => {
    const one = await write('one', await authority.issue(['localhost', 'one.test']))
    const two = await write('two', await authority.issue(['localhost', 'two.test']))
    await using door = await openDoor({ tls: { certificates: [one] } })
    const before = await tlsClient({ port: door.port, ca })
    const storm = new RequestStorm({
      host: '127.0.0.1',
      httpPort: door.httpPort,
      tlsPort: door.port,
      ca: Buffer.from(ca),
      path: '/',
      viewers: { plain: 2, tls: 4, kept: 4, http2: 2 },
    })
    for (const files of [[two], [one, two], [two, pathsOf('missing')], [one], [two]]) {
      const asked = storm.requests
      await door.door.reload(files).catch(() => {})
      await until('more requests', () => storm.requests > asked + 50)
    }
    const { kept, http2, tls } = await storm.stop()
    expect(storm.failures).toEqual([])
    for (const { ok } of [kept, http2, tls]) expect(ok).toBeGreaterThan(0)
    expect(storm.connections).toEqual({ kept: 4, http2: 2 })
    expect(await commonNameAt(door, 'two.test')).toBe('localhost')
    before.write(Buffer.from([3]))
    await once(before, 'data')
    before.destroy()
  })

  it('changes nothing of the first when the second of a new list is bad', async () => {
    const files = [await write('a', await authority.issue(['a.test']))]
    await using door = await openDoor({ tls: { certificates: files } })
    const before = await tlsClient({ port: door.port, ca }, { servername: 'a.test' })
    const renewed = await write('a2', await authority.issue(['new.test', 'a.test']))
    await writeFile(pathsOf('b').certFile, 'nonsense')
    await writeFile(pathsOf('b').keyFile, 'nonsense')
    await expect(door.door.reload([renewed, pathsOf('b')])).rejects.toThrow(pathsOf('b').certFile)
    expect(await commonNameAt(door, 'a.test')).toBe('a.test')
    expect(await commonNameAt(door, '')).toBe('a.test')
    before.write(Buffer.from([3]))
    await once(before, 'data')
    before.destroy()
  })

  it('by itself takes the good ones when files have changed and one of several is bad', async () => {
    const files = [
      await write('a', await authority.issue(['a.test'])),
      await write('b', await authority.issue(['b.test'])),
    ]
    await using door = await openDoor({ tls: { certificates: files } })
    await writeFile(files[0]!.certFile, 'nonsense')
    await write('b', await authority.issue(['b.test', 'c.test']))
    await door.logged.until('certificates loaded')
    expect(await commonNameAt(door, 'a.test')).toBe('a.test')
    expect(await commonNameAt(door, 'c.test')).toBe('b.test')
  })

  it('keeps serving when a file has gone', async () => {
    const files = [await write('a', await authority.issue(['a.test']))]
    await using door = await openDoor({ tls: { certificates: files } })
    await rm(files[0]!.keyFile)
    await expect(door.door.reload()).rejects.toMatchObject({ code: 'certificate-bad' })
    expect(await commonNameAt(door, 'a.test')).toBe('a.test')
  })
})

describe('start', () => {
  it('names the file that is missing', async () => {
    const files = [pathsOf('absent')]
    const attempt = openDoor({ tls: { certificates: files } })
    await expect(attempt).rejects.toThrow(`${files[0]!.certFile} cannot be read`)
  })

  it('says what is needed when there is neither a file nor a local CA', async () => {
    await expect(openDoor({ tls: { localCa: { enabled: false } } })).rejects.toMatchObject({
      code: 'certificate-missing',
    })
  })

  it('takes the names of the public URLs into the certificate of the local CA', async () => {
    await using door = await openDoor({
      config: { publicUrls: { https: 'https://pop.test:8443', rtmps: 'rtmps://in.test/live' } },
    })
    for (const servername of ['pop.test', 'in.test', 'localhost']) {
      const client = await tlsClient(door, { servername })
      expect(client.authorized).toBe(true)
      client.destroy()
    }
  })

  it('renews the certificate of the local CA in time', async () => {
    const clock = new FakeClock()
    const captured = captureLog()
    await using store = new CertificateStore({
      files: [],
      localCa: { dir: join(dir, 'own'), names: ['localhost'] },
      clock,
      log: captured.log,
    })
    await store.start()
    const first = store.default.cert
    const firstExpiry = store.expiresAt
    clock.stepWall(300 * 24 * 60 * 60 * 1_000)
    await clock.advance(12 * 60 * 60 * 1_000)
    await captured.until('certificates loaded')
    expect(store.default.cert).not.toBe(first)
    expect(store.expiresAt).toBeGreaterThan(firstExpiry)
  })

  it('warns when a certificate expires within two weeks', async () => {
    const clock = new FakeClock(Date.now() + 390 * 24 * 60 * 60 * 1_000)
    const captured = captureLog()
    const files = [await write('a', await authority.issue(['a.test']))]
    await using store = new CertificateStore({
      files,
      localCa: undefined,
      clock,
      log: captured.log,
    })
    await store.start()
    expect(await captured.until('certificate expires soon')).toMatchObject({ names: ['a.test'] })
  })
})
