// What doctor says about the certificates of an edge.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { checkCertificates } from '../../../bin/doctor/certificate-checks.ts'
import { LocalCa } from '../../../common/local-ca/local-ca.ts'
import type { ResolvedEdgeConfig } from '../../../config/load.ts'
import { edgeConfigSchema } from '../../../config/schema.ts'
import { FakeClock } from '../../support/fake-clock.ts'

const folder = mkdtempSync(path.join(tmpdir(), 'nearcast-doctor-'))
const clock = new FakeClock()
const dayMs = 24 * 60 * 60 * 1000
const inFolder = (name: string) => path.join(folder, name)

beforeAll(async () => {
  const ca = await LocalCa.open({ dir: inFolder('ca'), clock })
  for (const name of ['a.localhost', 'b.localhost']) {
    const { certificatePem, keyPem } = await ca.issue([name, '127.0.0.1'])
    writeFileSync(inFolder(`${name}.pem`), certificatePem)
    writeFileSync(inFolder(`${name}.key`), keyPem)
  }
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

function edge(tls: object, https?: string): ResolvedEdgeConfig {
  const cluster = { coordinator: 'http://127.0.0.1:7000', secret: 'x'.repeat(40) }
  return edgeConfigSchema.parse({
    role: 'edge',
    node: { id: 'pop-1' },
    dataDir: folder,
    cluster,
    tls,
    publicUrls: https ? { https } : {},
  }) as ResolvedEdgeConfig
}

const pair = (cert: string, key = cert) => ({
  certificates: [{ certFile: inFolder(`${cert}.pem`), keyFile: inFolder(`${key}.key`) }],
})

async function verdicts(config: ResolvedEdgeConfig, now = clock.now()) {
  const found = await checkCertificates(config, now)
  return found.map(({ verdict, detail }) => `${verdict} ${detail}`).join('\n')
}

describe('certificate files', () => {
  test('that fit are fine', async () => {
    const text = await verdicts(edge(pair('a.localhost'), 'https://127.0.0.1'))
    expect(text).toMatch(/^OK valid for \d+ days/)
    expect(text).not.toContain('FAIL')
  })

  test('that belong to another key are a failure', async () => {
    const text = await verdicts(edge(pair('a.localhost', 'b.localhost')))
    expect(text).toMatch(/^FAIL .*a\.localhost\.pem does not belong to .*b\.localhost\.key/)
  })

  test('that are not for the public name are a failure', async () => {
    const text = await verdicts(edge(pair('a.localhost'), 'https://b.localhost'))
    expect(text).toContain('FAIL none is for b.localhost')
  })

  test('that are not there or no PEM are a failure', async () => {
    expect(await verdicts(edge(pair('nowhere')))).toMatch(/^FAIL .*ENOENT/)
    writeFileSync(inFolder('noise.pem'), 'noise')
    writeFileSync(inFolder('noise.key'), 'noise')
    expect(await verdicts(edge(pair('noise')))).toContain('holds no PEM certificate')
  })

  test.each([
    [390, /^WARN expires in \d+ days/],
    [500, /^FAIL expired on /],
    [-10, /^FAIL valid only from /],
  ])('%i days from now', async (days, expected) => {
    expect(await verdicts(edge(pair('a.localhost')), clock.now() + days * dayMs)).toMatch(expected)
  })
})

describe('the local CA', () => {
  test('is named where there is one', async () => {
    expect(await verdicts(edge({ localCa: { dir: inFolder('ca') } }))).toMatch(
      /^OK local CA .*ca\.pem, valid for \d+ days; encoders must trust it/,
    )
  })

  test('is made by the first start where there is none', async () => {
    const text = await verdicts(edge({ localCa: { dir: inFolder('other') } }))
    expect(text).toBe(`OK the first start makes a local CA in ${inFolder('other')}`)
  })

  test('must certify the public names', async () => {
    const localCa = { dir: inFolder('ca'), names: ['localhost'] }
    const text = await verdicts(edge({ localCa }, 'https://127.0.0.1'))
    expect(text).toContain('FAIL the local CA certifies no 127.0.0.1')
  })

  test('that is off leaves nothing', async () => {
    const text = await verdicts(edge({ localCa: { enabled: false } }))
    expect(text).toBe('FAIL no certificate files, and the local CA is off')
  })
})
