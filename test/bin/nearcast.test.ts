// The command line as a child process: usage, exit codes, what goes to which stream.
import { execFile } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'
import { afterAll, describe, expect, test } from 'vitest'
import { nearcast } from './command.ts'

const root = path.resolve(import.meta.dirname, '../..')
const folder = mkdtempSync(path.join(tmpdir(), 'nearcast-bin-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

function write(name: string, text: string): string {
  const file = path.join(folder, name)
  writeFileSync(file, text, { mode: 0o600 })
  return file
}

const good = `role: gateway
node: { id: gw-1 }
cluster: { coordinator: "http://127.0.0.1:7000", secret: ${'x'.repeat(40)} }
`

describe.concurrent('usage', () => {
  test('--help is answered on standard output with 0', async () => {
    const { code, stdout, stderr } = await nearcast(['--help'])
    expect(code).toBe(0)
    expect(stderr).toBe('')
    for (const name of ['up', 'edge', 'gateway', 'transcoder', 'coordinator', 'check', 'doctor']) {
      expect(stdout).toMatch(new RegExp(`^ {2}${name} `, 'm'))
    }
    for (const name of [
      'channel',
      'key',
      'ring',
      'drain',
      'undrain',
      'publish',
      'config',
      'version',
      'ca',
    ]) {
      expect(stdout).toMatch(new RegExp(`^ {2}${name} `, 'm'))
    }
    expect(stdout).toContain('Exit codes: 0 ok, 1 failure, 2 usage, 78 bad configuration.')
  })

  test.each([
    [[]],
    [['frobnicate']],
    [['check']],
    [['check', '--config']],
    [['edge']],
    [['gateway', '--confg', 'x']],
    [['config', 'init', 'router']],
    [['config']],
    [['key', 'rotate']],
    [['ring']],
    [['version', 'too', 'much', '--nope']],
  ])('%j is a usage error: 2, nothing on standard output', async (args) => {
    const { code, stdout, stderr } = await nearcast(args)
    expect(code).toBe(2)
    expect(stdout).toBe('')
    expect(stderr).not.toBe('')
  })
})

describe.concurrent('version', () => {
  const { version } = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8'))

  test('of nearcast and of Node', async () => {
    expect((await nearcast(['--version'])).stdout).toBe(`${version}\n`)
    expect((await nearcast(['version'])).stdout).toContain(`nearcast ${version}, Node `)
    const { stdout } = await nearcast(['version', '--json'])
    expect(JSON.parse(stdout)).toMatchObject({ nearcast: version, node: process.versions.node })
  })

  test('the launcher of npx says the same', async () => {
    const launcher = path.join(root, 'bin/nearcast.mjs')
    const { stdout } = await promisify(execFile)(process.execPath, [launcher, '--version'])
    expect(stdout).toBe(`${version}\n`)
  })
})

describe.concurrent('check', () => {
  test('names role and node of a good file', async () => {
    const file = write('good.yaml', good)
    expect(await nearcast(['check', '--config', file])).toEqual({
      code: 0,
      stdout: `${file}: ok, gateway gw-1\n`,
      stderr: '',
    })
  })

  test('says everything about bad ones, on standard error, with 78', async () => {
    const one = write('one.yaml', `${good}listen: { prot: 1 }\n`)
    const two = write('two.yaml', `${good}listen: { port: -1 }\n`)
    const { code, stdout, stderr } = await nearcast(['check', '--config', one, two])
    expect(code).toBe(78)
    expect(stdout).toBe('')
    expect(stderr).toContain(`${one}:4:11: listen.prot: unknown setting; did you mean "port"?`)
    expect(stderr).toContain(`${two}:4:17: listen.port: got -1, expected a whole number from 0`)
  })

  test('names a ladder that does not exist and the place of an alias without an anchor', async () => {
    const transcoder = good.replace('role: gateway', 'role: transcoder')
    const ladder = write('ladder.yaml', `${transcoder}ladder: nope\n`)
    const alias = write('alias.yaml', 'role: gateway\nnode: *nobody\n')
    const { code, stderr } = await nearcast(['check', '--config', ladder, alias])
    expect(code).toBe(78)
    expect(stderr).toContain('nope.yaml')
    expect(stderr).toContain(`${alias}:2:7: not valid YAML`)
  })

  test('--json holds each problem with its place, and no secret', async () => {
    const file = write('json.yaml', `${good}listen: { prot: 1 }\n`)
    const { code, stdout, stderr } = await nearcast(['check', '--json', '--config', file])
    expect(code).toBe(78)
    expect(stderr).toBe('')
    expect(JSON.parse(stdout)).toEqual([
      {
        file,
        ok: false,
        warnings: [],
        problems: [
          {
            file,
            line: 4,
            column: 11,
            path: 'listen.prot',
            message: 'unknown setting; did you mean "port"?',
          },
        ],
      },
    ])
    expect(stdout).not.toContain('xxxx')
  })

  test('takes the environment into account', async () => {
    const file = write('env.yaml', good)
    const env = { NEARCAST__LISTEN__PORT: 'http' }
    const { code, stderr } = await nearcast(['check', '--config', file], { env })
    expect(code).toBe(78)
    expect(stderr).toContain('environment variable NEARCAST__LISTEN__PORT: listen.port: got "http"')
  })
})

describe.concurrent('config', () => {
  test.each(['edge', 'gateway', 'transcoder', 'coordinator'])(
    'init %s prints the commented example',
    async (role) => {
      const { code, stdout } = await nearcast(['config', 'init', role])
      expect(code).toBe(0)
      const [first, ...rest] = readFileSync(path.join(root, `config/${role}.yaml`), 'utf8').split(
        '\n',
      )
      const schema = path.join(root, 'config/schema/nearcast.schema.json')
      expect(first).toContain('$schema=schema/')
      expect(stdout.split('\n')).toEqual([`# yaml-language-server: $schema=${schema}`, ...rest])
    },
  )

  test('schema prints the JSON Schema', async () => {
    const { stdout } = await nearcast(['config', 'schema'])
    expect(Object.keys(JSON.parse(stdout).$defs)).toHaveLength(4)
  })
})

test.concurrent('a role refuses the file of another one with 78', async () => {
  const file = write('gateway.yaml', good)
  const { code, stderr } = await nearcast(['edge', '--config', file])
  expect(stderr).toContain(`${file}:1:7: role: got "gateway", expected edge`)
  expect(code).toBe(78)
})
