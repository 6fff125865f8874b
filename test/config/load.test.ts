// What a person sees who has written a config file: the config, or every mistake with its place.
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import fc from 'fast-check'
import { afterAll, describe, expect, test } from 'vitest'
import { ConfigError, configExitCode, loadConfig } from '../../config/load.ts'
import type { ConfigRole } from '../../config/schema.ts'

const folder = mkdtempSync(path.join(tmpdir(), 'nearcast-config-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const secret = 'ncs_0123456789abcdefghijklmnopqrstuv'
const minimal = `role: edge
node:
  id: pop-1
cluster:
  coordinator: http://10.0.0.1:7000
  secret: ${secret}
`

function write(text: string, name = 'node.yaml', mode = 0o600): string {
  const file = path.join(folder, name)
  writeFileSync(file, text)
  chmodSync(file, mode)
  return file
}

interface Options {
  env?: Record<string, string>
  role?: ConfigRole
}

function load(text: string, options: Options = {}) {
  const warnings: string[] = []
  const config = loadConfig<ConfigRole>(write(text), {
    env: {},
    warn: (warning) => warnings.push(warning),
    ...options,
  })
  return { config, warnings }
}

function report(text: string, options: Options = {}): string {
  try {
    load(text, options)
  } catch (err) {
    if (!(err instanceof ConfigError)) throw err
    return err.message.replaceAll(`${folder}/`, '')
  }
  throw new Error('the config was accepted')
}

describe('a good file', () => {
  test('gets every default, and cannot be changed afterwards', () => {
    const file = write(minimal)
    const config = loadConfig(file, { role: 'edge', env: {} })
    expect(config.tls.port).toBe(443)
    expect(config.cluster.secret).toBe(secret)
    expect(() => {
      config.tls.port = 1
    }).toThrow(TypeError)
    expect(() => config.tls.localCa.names.push('x')).toThrow(TypeError)
  })

  test('takes relative paths from the folder of the file, and URLs without a slash at the end', () => {
    write(`${secret}\n`, 'cluster-secret')
    const { config } = load(`role: gateway
node: { id: gw-1 }
dataDir: ../data
cluster: { coordinator: http://10.0.0.1:7000/, secretFile: cluster-secret }
`)
    expect(config.dataDir).toBe(path.resolve(folder, '../data'))
    expect(config.cluster).toEqual({
      coordinator: 'http://10.0.0.1:7000',
      secretFile: path.join(folder, 'cluster-secret'),
      secret,
    })
  })

  test('a coordinator reads its token where the file is there, and knows the place where it is not', () => {
    const text = `role: coordinator
node: { id: co-1 }
dataDir: .
cluster: { secret: ${secret} }
`
    const file = write(text)
    const fresh = loadConfig(file, { role: 'coordinator', env: {} })
    expect(fresh.adminTokenFile).toBe(path.join(folder, 'admin-token'))
    expect(fresh.adminToken).toBeUndefined()
    write(`nct_${'x'.repeat(32)}\n`, 'admin-token')
    const second = loadConfig(file, { role: 'coordinator', env: {} })
    expect(second.adminToken).toBe(`nct_${'x'.repeat(32)}`)
  })

  test('a secret file that others can read is used, with a warning', () => {
    const file = write(secret, 'open-secret', 0o644)
    const { warnings } = load(minimal.replace(`secret: ${secret}`, 'secretFile: open-secret'))
    expect(warnings).toEqual([`${file} can be read by others (mode 644); chmod 600 ${file}`])
  })
})

describe('a bad file is answered with place, what was got and what was expected', () => {
  test('all mistakes at once, in the order of the file, with a caret', () => {
    const text = `role: edge
node:
  id: POP 1
tls:
  prot: 8443
http: { port: 70000 }
cluster:
  coordinator: http://10.0.0.1:7000
  secret: ${secret}
`
    expect(
      report(text),
    ).toBe(`node.yaml:3:7: node.id: got "POP 1", expected text that matches ^[a-z0-9][a-z0-9_.-]{0,62}$
    3 |   id: POP 1
      |       ^^^^^
node.yaml:5:3: tls.prot: unknown setting; did you mean "port"?
    5 |   prot
      |   ^^^^
node.yaml:6:15: http.port: got 70000, expected a whole number from 0 to 65535
    6 | http: { port: 70000 }
      |               ^^^^^`)
  })

  const cases: [string, string, string][] = [
    ['no YAML', 'role: "edge', 'node.yaml:1:12: not valid YAML: Missing closing "quote'],
    [
      'an empty file',
      '',
      'role: got nothing, expected one of edge, gateway, transcoder, coordinator',
    ],
    ['a list', '- edge', 'node.yaml:1:1: got a list, expected settings such as "role: edge"'],
    ['two documents', `${minimal}---\nx: 1\n`, 'a second document; expected one'],
    [
      'a mistyped role',
      'role: egde',
      'role: got "egde", expected one of edge, gateway, transcoder, coordinator; did you mean "edge"?',
    ],
    [
      'a missing section',
      'role: edge',
      'node.yaml:1:1: node: got nothing, expected a section with id',
    ],
    [
      'a missing setting',
      minimal.replace('id: pop-1', 'region: eu'),
      'node.yaml:2:1: node.id: got nothing, expected text',
    ],
    [
      'a duplicate key',
      `${minimal}log: { level: info, level: debug }`,
      'node.yaml:7:21: this key stands twice in its section',
    ],
    [
      'text for a number',
      `${minimal}tls: { port: https }`,
      'tls.port: got "https", expected a whole number from 0 to 65535',
    ],
    [
      'a fraction for a whole number',
      `${minimal}tls: { port: 1.5 }`,
      'tls.port: got 1.5, expected a whole number from 0 to 65535',
    ],
    [
      'a unit',
      `${minimal}cache: { memoryBytes: 512MB }`,
      'got "512MB", expected a whole number above 0 (the unit is in the name of the setting)',
    ],
    [
      'yes for true',
      `${minimal}http: { enabled: yes }`,
      'got "yes", expected true or false (yes, no, on and off are plain text in YAML 1.2)',
    ],
    [
      'a number for text',
      `${minimal}dataDir: 5`,
      'got 5, expected the path of a file or folder (put it into quotes)',
    ],
    [
      'a section for a value',
      `${minimal}dataDir: { a: 1 }`,
      'dataDir: got a section, expected the path',
    ],
    [
      'a value for a section',
      `${minimal}tls: 443`,
      'tls: got 443, expected a section with settings',
    ],
    [
      'a choice',
      `${minimal}log: { level: loud }`,
      'got "loud", expected one of trace, debug, info',
    ],
    [
      'a URL without a scheme',
      minimal.replace('http://', ''),
      'got "10.0.0.1:7000", expected a URL such as',
    ],
    [
      'a setting of another section',
      `${minimal}allowPlain: true`,
      'allowPlain: unknown setting here; did you mean upstream.allowPlain?',
    ],
    [
      'a setting of another role',
      `${minimal}maxStreams: 1`,
      'maxStreams: unknown setting; only role transcoder has it',
    ],
    [
      'an unheard-of setting',
      `${minimal}xyzzy: 1`,
      'xyzzy: unknown setting; expected one of role, node, dataDir',
    ],
    [
      'an entry of a list',
      `${minimal}tls:\n  certificates:\n    - certFile: a.pem\n`,
      'node.yaml:9:7: tls.certificates[0].keyFile: got nothing, expected the path',
    ],
    [
      'one port twice',
      `${minimal}admin: { port: 443 }`,
      'node.yaml:7:16: admin.port: got 443, expected another port: tls.port has it already',
    ],
    [
      'one port twice, of the two of a gateway',
      minimal
        .replace('edge', 'gateway')
        .concat('listen: { port: 443 }\nmutualTls: { certFile: a, keyFile: b, caFile: c }'),
      'mutualTls.port: got 443, expected another port: listen.port has it already',
    ],
    [
      'no secret',
      minimal.replace(/ {2}secret: .*\n/, ''),
      'node.yaml:4:1: cluster: needs secretFile (or secret)',
    ],
    [
      'a secret file that is not there',
      minimal.replace(/secret: .*/, 'secretFile: nowhere'),
      'node.yaml:6:15: cluster.secretFile: cannot read the file: no such file',
    ],
    [
      'a network',
      minimal.replace('edge', 'gateway').concat('trustedNetworks: [10.0.0.0/40]'),
      'trustedNetworks[0]: got "10.0.0.0/40", expected a network such as',
    ],
  ]
  test.each(cases)('%s', (_name, text, expected) => {
    expect(report(text)).toContain(expected)
  })

  test('a file that cannot be read', () => {
    expect(() => loadConfig(path.join(folder, 'absent.yaml'), { env: {} })).toThrow(
      'absent.yaml: cannot be read: no such file',
    )
  })

  test('the file of another role', () => {
    expect(report(minimal, { role: 'gateway' })).toContain(
      'role: got "edge", expected gateway; this is the file of another role: nearcast edge --config',
    )
  })

  test('secrets stand in no report', () => {
    for (const text of [
      minimal.replace(secret, 'too-short-secret'),
      minimal.replace('secret:', 'secert:'),
      minimal.replace(`secret: ${secret}`, `secret: "${secret}`),
      `${minimal}admin: { token: short-token }`,
    ]) {
      expect(report(text)).not.toMatch(/too-short|ncs_|short-token/)
    }
    expect(report(minimal.replace(secret, 'too-short-secret'))).toContain(
      'cluster.secret: got 16 characters, expected text of at least 32 characters',
    )
  })

  test('the error carries exit code 78 and each problem as data', () => {
    const file = write(`${minimal}tls: { prot: 1 }`)
    const error = (() => {
      try {
        loadConfig(file, { env: {} })
      } catch (err) {
        return err as ConfigError
      }
      return undefined
    })()
    expect(error?.exitCode).toBe(configExitCode)
    expect(configExitCode).toBe(78)
    expect(error?.problems).toMatchObject([{ file, line: 7, column: 8, path: 'tls.prot' }])
  })

  test('no text at all makes it throw anything but a ConfigError', () => {
    const pieces = fc.constantFrom(
      'role',
      'edge',
      ':',
      ' ',
      '\n',
      '- ',
      '{',
      '}',
      '[',
      ']',
      '"',
      '&a',
      '*a',
      '$',
      'env:X',
      '#',
      '|',
      '!!',
      '<<',
      '__proto__',
      'tls',
      'port',
      '1',
      '\t',
    )
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.array(pieces).map((parts) => `role: edge\n${parts.join('')}`),
        ),
        (text) => {
          try {
            load(text)
          } catch (err) {
            expect(err).toBeInstanceOf(ConfigError)
          }
        },
      ),
      { numRuns: 300 },
    )
  })
})

describe('the environment over the file', () => {
  test.each([
    ['NEARCAST__TLS__PORT', '8443', ['tls', 'port'], 8443],
    ['NEARCAST__NODE__ID', '01', ['node', 'id'], '01'],
    ['NEARCAST__NODE__REGION', 'null', ['node', 'region'], null],
    ['NEARCAST__NODE__LATITUDE', '48.1', ['node', 'latitude'], 48.1],
    ['NEARCAST__HTTP__ENABLED', 'false', ['http', 'enabled'], false],
    [
      'NEARCAST__TLS__LOCAL_CA__NAMES',
      '[a.example, b.example]',
      ['tls', 'localCa', 'names'],
      ['a.example', 'b.example'],
    ],
    ['NEARCAST__TLS__LOCALCA__NAMES__0', 'a.example', ['tls', 'localCa', 'names'], ['a.example']],
    [
      'NEARCAST__tls__certificates__0',
      '{certFile: /a, keyFile: /b}',
      ['tls', 'certificates'],
      [{ certFile: '/a', keyFile: '/b' }],
    ],
    ['NEARCAST__DATA_DIR', '/srv/x', ['dataDir'], '/srv/x'],
  ])('%s=%s', (name, value, where, expected) => {
    const { config } = load(minimal, { env: { [name]: value } })
    let node: unknown = config
    for (const key of where) node = (node as Record<string, unknown>)[key]
    expect(node).toEqual(expected)
  })

  test('a list entry changes alone', () => {
    const text = `${minimal}tls: { localCa: { names: [a, b] } }`
    const { config } = load(text, { env: { NEARCAST__TLS__LOCALCA__NAMES__1: 'c' } })
    expect(config).toHaveProperty('tls.localCa.names', ['a', 'c'])
  })

  test('_FILE reads the value from a file', () => {
    const file = write('pop-from-file\n', 'id')
    const { config } = load(minimal, { env: { NEARCAST__NODE__ID_FILE: file } })
    expect(config.node.id).toBe('pop-from-file')
    const secretFile = write(`${secret}-2`, 'other-secret')
    const env = { NEARCAST__CLUSTER__SECRET_FILE: secretFile }
    const text = minimal.replace(/ {2}secret: .*\n/, '')
    expect(load(text, { env }).config.cluster.secret).toBe(`${secret}-2`)
  })

  test.each([
    [
      { NEARCAST__TLS__PORT: 'x' },
      'environment variable NEARCAST__TLS__PORT: tls.port: got "x", expected a whole number',
    ],
    [
      { NEARCAST__TLS__PROT: '1' },
      'environment variable NEARCAST__TLS__PROT: unknown setting "PROT" in tls; did you mean tls.port?',
    ],
    [
      { NEARCAST__NODE__ID_FILE: '/nowhere' },
      'environment variable NEARCAST__NODE__ID_FILE: cannot read /nowhere: no such file',
    ],
    [
      { NEARCAST__ROLE: 'gatewy' },
      'environment variable NEARCAST__ROLE: role: got "gatewy", expected one of',
    ],
    [{ NEARCAST__TLS__PORT__X: '1' }, 'unknown setting "X" in tls.port'],
  ])('%j is refused by its name', (env, expected) => {
    expect(report(minimal, { env: env as Record<string, string> })).toContain(expected)
  })

  test('a setting of another role is passed over, since nodes may share an environment', () => {
    const { warnings } = load(minimal, {
      env: { NEARCAST__MAX_STREAMS: '3', NEARCAST_NO_INSTALL: '1' },
    })
    expect(warnings).toEqual([
      'NEARCAST__MAX_STREAMS is a setting of transcoder, not of edge; ignored',
    ])
  })
})

describe('references inside the file', () => {
  const reference = (inside: string) => `\${${inside}}`
  const withRegion = (region: string) =>
    minimal.replace(/id:.*/, (id) => `${id}\n  region: ${region}`)

  test('take values from the environment and from files', () => {
    write('from-file', 'region')
    const { config } = load(
      `${withRegion(reference('file:region')).replace('pop-1', `pop-${reference('env:N')}`)}
tls:
  port: ${reference('env:PORT')}
http: { port: "1${reference('env:PORT')}" }
`,
      { env: { PORT: '8443', N: '7' } },
    )
    expect(config).toMatchObject({
      node: { id: 'pop-7', region: 'from-file' },
      tls: { port: 8443 },
      http: { port: 18443 },
    })
  })

  test('two dollar signs stand for one', () => {
    const { config } = load(withRegion(`$${reference('env:X')}`))
    expect(config.node.region).toBe(reference('env:X'))
  })

  test('the value that a reference brought in is not shown', () => {
    const text = minimal.replace('pop-1', reference('env:ID'))
    const message = report(text, { env: { ID: 'Not An Id' } })
    expect(message).toContain('node.id: got 9 characters, expected text that matches')
    expect(message).not.toContain('Not An Id')
  })

  test.each([
    ['env:NOPE', 'node.region: environment variable NOPE is not set'],
    ['file:nope', 'node.region: cannot read the file: no such file'],
    ['what', `node.region: got "${reference('what')}", expected ${reference('env:NAME')} or`],
  ])('%s is refused where it stands, once', (inside, expected) => {
    const message = report(withRegion(reference(inside)))
    expect(message).toContain(`node.yaml:4:11: ${expected}`)
    expect(message.split('node.yaml:')).toHaveLength(2)
  })
})
