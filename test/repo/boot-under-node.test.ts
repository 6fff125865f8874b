// Every main.ts loads under the real Node, whose type stripping refuses what a test runner lets pass, and
// keeps to the exit codes.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { globSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'

const root = path.resolve(import.meta.dirname, '../..')
const folder = mkdtempSync(path.join(tmpdir(), 'nearcast-boot-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const mains = globSync('{edge,origin/*,coordinator}/main.ts', { cwd: root }).sort()

async function runNode(...args: string[]) {
  const child = spawn(process.execPath, args, {
    cwd: folder,
    env: { PATH: process.env.PATH },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text) => {
      output += text
    })
  }
  const [code] = (await once(child, 'close')) as [number | null]
  return { code, output }
}

test('there is one main.ts per role', () => {
  expect(mains).toEqual([
    'coordinator/main.ts',
    'edge/main.ts',
    'origin/gateway/main.ts',
    'origin/transcoder/main.ts',
  ])
})

describe.each(mains)('%s', (main) => {
  const file = path.join(root, main)

  test('exits with 78 and the place of the mistake when its config is wrong', async () => {
    const role = path.basename(path.dirname(main))
    const config = path.join(folder, `${role}.yaml`)
    writeFileSync(config, `role: ${role}\nnode:\n  id: x-1\n  wieght: 1\ncluster: {}\n`)
    const { code, output } = await runNode(file, '--config', config)
    expect(output).toContain(
      `${config}:4:3: node.wieght: unknown setting; did you mean "weight"?\n    4 |   wieght\n      |   ^^^^^^`,
    )
    expect(output).not.toMatch(/Warning|^\s+at /m)
    expect(code).toBe(78)
  })

  test('exits with 2 when no config is given', async () => {
    const { code, output } = await runNode(file)
    expect(output).toMatch(/^usage: .*--config FILE/)
    expect(code).toBe(2)
  })
})
