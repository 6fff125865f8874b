// `nearcast ca` tells of a CA, and makes one only to issue a certificate.
import { spawnSync } from 'node:child_process'
import { X509Certificate } from 'node:crypto'
import { mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { systemClock } from '../../../common/clock.ts'
import { LocalCa } from '../../../common/local-ca/local-ca.ts'

const program = fileURLToPath(new URL('../../../bin/nearcast.ts', import.meta.url))
let data: string
beforeEach(async () => {
  data = await mkdtemp(join(tmpdir(), 'nearcast-cli-ca-'))
})
afterEach(() => rm(data, { recursive: true }))

function nearcast(...args: string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [program, ...args], {
    encoding: 'utf8',
    timeout: 20_000,
  })
  return { status, stdout, stderr }
}

it('fails with the path where there is no CA, and makes none', async () => {
  const { status, stderr } = nearcast('ca', 'show', '--data', data)
  expect(status).toBe(1)
  expect(stderr).toContain(join(data, 'ca', 'ca.pem'))
  expect(await readdir(data)).toEqual([])
})

it('shows the CA as text and as JSON', async () => {
  await LocalCa.open({ dir: join(data, 'ca'), clock: systemClock })
  const text = nearcast('ca', 'show', '--data', data)
  expect(text).toMatchObject({ status: 0, stdout: expect.stringContaining('BEGIN CERTIFICATE') })
  const { stdout } = nearcast('ca', 'show', '--dir', join(data, 'ca'), '--json')
  const facts = JSON.parse(stdout)
  expect(facts).toMatchObject({ file: join(data, 'ca', 'ca.pem') })
  expect(text.stdout).toContain(facts.fingerprint256)
})

it('prints how to trust it without doing so', async () => {
  await LocalCa.open({ dir: join(data, 'ca'), clock: systemClock })
  const { status, stdout } = nearcast('ca', 'trust', '--data', data, '--print', '--json')
  if (status === 1) return // A system whose trust store we do not know.
  expect(JSON.parse(stdout)).toMatchObject({ trusted: false })
  expect(stdout).toContain(join(data, 'ca', 'ca.pem'))
})

it('issues a certificate for a node, with its key readable by the owner alone', async () => {
  const out = join(data, 'gw-1')
  const dir = join(data, 'nodes-ca')
  const { status, stdout } = nearcast(
    'ca',
    'issue',
    'gw-1.internal',
    '10.0.0.2',
    ...['--dir', dir, '--out', out],
  )
  expect(status).toBe(0)
  expect(stdout).toContain(`  certFile: ${join(out, 'node.pem')}\n`)
  const read = async (name: string) => new X509Certificate(await readFile(join(out, name)))
  const [node, ca] = [await read('node.pem'), await read('cluster-ca.pem')]
  expect(node.verify(ca.publicKey)).toBe(true)
  expect(node.subjectAltName).toBe('IP Address:10.0.0.2, DNS:gw-1.internal')
  // Extended key usages: TLS server and TLS client.
  expect(node.keyUsage).toEqual(['1.3.6.1.5.5.7.3.1', '1.3.6.1.5.5.7.3.2'])
  expect((await stat(join(out, 'node-key.pem'))).mode & 0o777).toBe(0o600)
})
