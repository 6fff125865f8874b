// A role that cannot start says why, in words and by its exit code.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { until } from '../support/until.ts'

const program = fileURLToPath(new URL('../../bin/nearcast.ts', import.meta.url))

let dir: string

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'nearcast-start-'))
})

afterEach(() => {
  rmSync(dir, { recursive: true, force: true })
})

async function nearcast(...args: string[]): Promise<{ code: number; stderr: string }> {
  const child = spawn(process.execPath, [program, ...args], { stdio: ['ignore', 'ignore', 'pipe'] })
  let stderr = ''
  child.stderr.on('data', (bytes: Buffer) => {
    stderr += bytes.toString()
  })
  const [code] = await once(child, 'close')
  return { code, stderr }
}

function coordinatorConfig(lines: string[]): string {
  const file = join(dir, 'coordinator.yaml')
  const secret = `  secret: ${'s'.repeat(40)}`
  const text = ['role: coordinator', 'node: {id: c-1}', `dataDir: ${dir}`, 'cluster:', secret]
  writeFileSync(file, `${[...text, ...lines].join('\n')}\n`, { mode: 0o600 })
  return file
}

describe('a role that cannot start', () => {
  test('names the taken port and the process that has it', async () => {
    const holder = createServer().listen(0, '127.0.0.1')
    await once(holder, 'listening')
    const { port } = holder.address() as { port: number }
    const file = coordinatorConfig(['admin: {port: 0}', `listen: {port: ${port}}`])
    const { code, stderr } = await nearcast('coordinator', '--config', file)
    holder.close()
    expect(code).toBe(1)
    expect(stderr).toContain(`Port ${port}`)
    expect(stderr).toContain(String(process.pid))
  })

  test('names file, line and column of a broken setting', async () => {
    const file = coordinatorConfig(['listen:', '  prot: 7000'])
    const { code, stderr } = await nearcast('coordinator', '--config', file)
    expect(code).toBe(78)
    expect(stderr).toContain(`${file}:7:3`)
    expect(stderr).toContain('port')
  })

  test('up refuses a data directory that another up holds', async () => {
    const data = join(dir, 'data')
    const first = spawn(process.execPath, [program, 'up', '--ports', 'auto', '--data', data], {
      stdio: ['ignore', 'pipe', 'ignore'],
    })
    let output = ''
    first.stdout.on('data', (bytes: Buffer) => {
      output += bytes.toString()
    })
    await until('the first to be ready', () => output.includes('\nready {'), 60_000)
    const second = await nearcast('up', '--ports', 'auto', '--data', data)
    expect(second.code).toBe(1)
    expect(second.stderr).toContain(`process ${first.pid}`)
    first.kill('SIGTERM')
    expect(await once(first, 'exit')).toEqual([0, null])
  })
})
