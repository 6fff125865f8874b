// `nearcast ca` tells of a CA and never makes one.
import { spawnSync } from 'node:child_process'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
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
