// What a role does with a config file that it reads again.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { createLogger, type Logger } from '../../common/log.ts'
import { loadConfig } from '../../config/load.ts'
import { changedSettings, createReread } from '../../config/reload.ts'

let dir: string
let lines: string[]
let log: Logger

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'nearcast-reload-'))
  lines = []
  log = createLogger({ name: 'test', destination: { write: (line) => lines.push(line) } })
})

afterEach(() => rmSync(dir, { recursive: true, force: true }))

function write(extra: string): string {
  const file = join(dir, 'edge.yaml')
  const cluster = `cluster: {coordinator: 'http://127.0.0.1:1', secret: ${'s'.repeat(40)}}`
  writeFileSync(file, `role: edge\nnode: {id: pop-1}\n${cluster}\n${extra}\n`, { mode: 0o600 })
  return file
}

describe('a config file read again', () => {
  test('changes the level of the log at once', () => {
    const file = write('')
    const reread = createReread('edge', file, loadConfig(file, { role: 'edge' }), log)
    write('log: {level: debug}')
    reread().adopt()
    expect(log.level).toBe('debug')
    expect(lines).toEqual([])
  })

  test('changes nothing before all else is known to be good', () => {
    const file = write('')
    const reread = createReread('edge', file, loadConfig(file, { role: 'edge' }), log)
    write('log: {level: debug}\nhttp: {port: 8080}')
    expect(reread().config.log.level).toBe('debug')
    expect(log.level).toBe('info')
    expect(lines).toEqual([])
  })

  test('names the settings that wait for a restart', () => {
    const file = write('')
    const reread = createReread('edge', file, loadConfig(file, { role: 'edge' }), log)
    write('http: {port: 8080}')
    reread().adopt()
    expect(lines.join('')).toContain('"settings":["http.port"]')
  })

  test('is refused whole when it is bad', () => {
    const file = write('')
    const reread = createReread('edge', file, loadConfig(file, { role: 'edge' }), log)
    write('log: {level: debug}\nhttp: {prot: 1}')
    expect(reread).toThrow(/edge\.yaml:5:8/)
    expect(log.level).toBe('info')
  })
})

test.each([
  [{ a: 1 }, { a: 1 }, []],
  [{ a: 1 }, { a: 2 }, ['a']],
  [{ a: { b: [1, 2] } }, { a: { b: [1, 3] } }, ['a.b.1']],
  [{ a: { b: 1 } }, { a: { b: 1, c: 2 } }, ['a.c']],
  [{ a: null }, { a: { b: 1 } }, ['a']],
])('from %j to %j changes %j', (before, after, expected) => {
  expect(changedSettings(before, after)).toEqual(expected)
})
