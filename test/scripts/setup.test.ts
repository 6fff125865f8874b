// The set-up's answers where it may not or need not change anything; it is plain JavaScript for old Nodes.
import { spawnSync } from 'node:child_process'
import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, expect, test } from 'vitest'

let dir = ''

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'nearcast-setup-'))
})

afterEach(() => {
  rmSync(dir, { recursive: true, force: true })
})

function run(script: string, args: string[], env: NodeJS.ProcessEnv = process.env) {
  const file = fileURLToPath(new URL(`../../scripts/${script}`, import.meta.url))
  return spawnSync(process.execPath, [file, ...args], { env, encoding: 'utf8' })
}

function fakeProgram(name: string, shellLines: string): void {
  writeFileSync(join(dir, name), `#!/bin/sh\n${shellLines}\n`)
  chmodSync(join(dir, name), 0o755)
}

test('names the exact command where the system may not be changed', () => {
  fakeProgram('apt-get', `touch ${join(dir, 'was-called')}`)
  const answer = run('setup.mjs', ['chromium'], { PATH: dir, NEARCAST_NO_INSTALL: '1' })
  expect(answer.stderr).toMatch(/chromium is missing.*apt-get install -y chromium\n/s)
  expect(answer.status).toBe(1)
  expect(() => statSync(join(dir, 'was-called'))).toThrow('ENOENT')
})

test('says what is missing on a system without apt-get', () => {
  const answer = run('setup.mjs', ['chromium'], { PATH: dir })
  expect(answer.stderr).toMatch(/chromium is missing/)
  expect(answer.status).toBe(1)
})

test('takes any browser of the family for Chromium', () => {
  fakeProgram('google-chrome-stable', 'exit 0')
  const answer = run('setup.mjs', ['chromium'], { PATH: dir })
  expect(answer).toMatchObject({ status: 0, stderr: '' })
})

test('refuses a need that it does not know, as a usage error', () => {
  const answer = run('setup.mjs', ['ffmepg'])
  expect(answer.stderr).toContain('Unknown: ffmepg. Known: packages, node, web, ffmpeg')
  expect(answer.status).toBe(2)
})

test('makes a cluster secret that only its owner can read, and never a second one', () => {
  const file = join(dir, 'secret')
  expect(run('make-secret.mjs', [file]).status).toBe(0)
  const secret = readFileSync(file, 'utf8')
  expect(secret).toMatch(/^ncs_[A-Za-z0-9_-]{43}\n$/)
  expect(statSync(file).mode & 0o777).toBe(0o600)
  expect(run('make-secret.mjs', [file]).status).toBe(0)
  expect(readFileSync(file, 'utf8')).toBe(secret)
})

test('finds a node unhealthy when nobody listens', () => {
  const answer = run('healthcheck.mjs', ['http://127.0.0.1:1'])
  expect(answer.stdout).toMatch(/http:\/\/127\.0\.0\.1:1: .+/)
  expect(answer.status).toBe(1)
})
