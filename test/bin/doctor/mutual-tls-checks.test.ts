// What doctor says about the certificate of a node for mutual TLS.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { checkMutualTls } from '../../../bin/doctor/mutual-tls-checks.ts'
import { caFile, type IssuedCertificate, LocalCa } from '../../../common/local-ca/local-ca.ts'
import type { ResolvedConfig } from '../../../config/load.ts'
import { edgeConfigSchema, gatewayConfigSchema } from '../../../config/schema.ts'
import { FakeClock } from '../../support/fake-clock.ts'

const folder = mkdtempSync(path.join(tmpdir(), 'nearcast-doctor-'))
const clock = new FakeClock()
const dayMs = 24 * 60 * 60 * 1000
const inFolder = (name: string) => path.join(folder, name)
const common = {
  node: { id: 'a-node' },
  cluster: { coordinator: 'http://127.0.0.1:7000', secret: 'x'.repeat(40) },
}

const write = (name: string, { certificatePem, keyPem }: IssuedCertificate) => {
  writeFileSync(inFolder(`${name}.pem`), certificatePem)
  writeFileSync(inFolder(`${name}.key`), keyPem)
}

beforeAll(async () => {
  const ca = await LocalCa.open({ dir: inFolder('ca'), clock })
  const other = await LocalCa.open({ dir: inFolder('other'), clock })
  write('node', await ca.issueForNode(['gw-1.internal', '10.0.0.2']))
  write('stranger', await other.issueForNode(['gw-1.internal']))
  write('server', await ca.issue(['gw-1.internal']))
  writeFileSync(
    inFolder('both.pem'),
    ['other', 'ca'].map((it) => readFileSync(caFile(inFolder(it)))).join(''),
  )
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const files = (name: string, key = name, ca = caFile(inFolder('ca'))) => ({
  certFile: inFolder(`${name}.pem`),
  keyFile: inFolder(`${key}.key`),
  caFile: ca,
})

function edge(mutualTls?: object): ResolvedConfig {
  return edgeConfigSchema.parse({
    ...common,
    role: 'edge',
    upstream: mutualTls ? { mutualTls } : {},
  }) as ResolvedConfig
}

function gateway(publicUrl: string): ResolvedConfig {
  const mutualTls = { ...files('node'), publicUrl }
  return gatewayConfigSchema.parse({ ...common, role: 'gateway', mutualTls }) as ResolvedConfig
}

function verdicts(config: ResolvedConfig, now = clock.now()): string {
  return checkMutualTls(config, now)
    .map(({ verdict, detail }) => `${verdict} ${detail}`)
    .join('\n')
}

test('a node without it hears nothing of it', () => {
  expect(verdicts(edge())).toBe('')
})

test.each<[string, ResolvedConfig, RegExp]>([
  ['files that fit', edge(files('node')), /^OK valid for \d+ days$/],
  ['one of several authorities', edge(files('node', 'node', inFolder('both.pem'))), /^OK .*days$/],
  ['a name of the gateway', gateway('https://gw-1.internal:443'), /^OK .*days$/],
  ['an address of the gateway', gateway('https://10.0.0.2'), /^OK .*days$/],
  [
    'another name',
    gateway('https://gw-2.internal'),
    /^FAIL .*node\.pem is not for gw-2\.internal/m,
  ],
  [
    'another authority',
    edge(files('stranger')),
    /^FAIL .*stranger\.pem is not of the authority in/m,
  ],
  ['another key', edge(files('node', 'server')), /^FAIL .*node\.pem does not belong to/],
  ['a certificate for servers', edge(files('server')), /^FAIL .*server\.pem is not for clients$/m],
  ['no file', edge(files('nowhere')), /^FAIL .*nowhere\.pem/],
])('%s', (_name, config, expected) => {
  expect(verdicts(config)).toMatch(expected)
})

test('one that expires soon is told, and one that has expired', () => {
  const config = edge(files('node'))
  expect(verdicts(config, clock.now() + 390 * dayMs)).toMatch(/^WARN expires in \d days$/)
  expect(verdicts(config, clock.now() + 400 * dayMs)).toMatch(/^FAIL expired on/)
})
