// The rules of ARCHITECTURE.md about who may import whom, held against every source file.
import { globSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { describe, expect, test } from 'vitest'

const root = path.resolve(import.meta.dirname, '../..')
const areas = ['media', 'common', 'config', 'edge', 'origin', 'coordinator', 'bin', 'bench', 'web']
const files = areas
  .flatMap((area) => globSync(`${area}/**/*.{ts,tsx,mjs}`, { cwd: root }))
  .filter((file) => !/\/(dist|node_modules|results)\//.test(file))
  .sort()
  .map((name) => ({ name, text: readFileSync(path.join(root, name), 'utf8') }))

interface Import {
  from: string
  /** Package, `node:…`, or the path of a file in this repository. */
  to: string
  isType: boolean
}

const statement =
  /^\s*(?:import|export)\s+(type\s)?[^'"`;]*?\bfrom\s*['"]([^'"]+)['"]|^\s*import\s*['"]([^'"]+)['"]|\bimport\(\s*['"]([^'"]+)['"]\s*\)/gm

const imports: Import[] = files.flatMap(({ name, text }) =>
  [...text.matchAll(statement)].map(([, type, from, bare, dynamic]) => {
    const target = (from ?? bare ?? dynamic)!
    const isLocal = target.startsWith('.')
    const to = isLocal ? path.join(path.dirname(name), target) : target
    return { from: name, to, isType: type !== undefined }
  }),
)

/** Roles are the four programs; packager and archive belong to the transcoder. */
function roleOf(file: string): string | undefined {
  if (file.startsWith('origin/gateway/')) return 'gateway'
  if (file.startsWith('origin/')) return 'transcoder'
  return /^(edge|coordinator)\//.exec(file)?.[1]
}

const areaOf = (file: string) => file.split('/')[0]!
const isLocal = ({ to }: Import) => areas.includes(areaOf(to)) && to.includes('/')
const broken = (rule: (one: Import) => boolean) =>
  imports.filter(rule).map(({ from, to }) => `${from} imports ${to}`)

test('the statements are found at all', () => {
  expect(files.length).toBeGreaterThan(30)
  expect(imports).toContainEqual({ from: 'common/log.ts', to: 'pino', isType: false })
  expect(imports).toContainEqual({
    from: 'bin/commands/roles.ts',
    to: 'edge/main.ts',
    isType: false,
  })
  expect(imports.some(({ from, isType }) => from === 'config/load.ts' && isType)).toBe(true)
})

describe('who may import whom', () => {
  test('media: itself, node:buffer and node:crypto', () => {
    const allowed = ['node:buffer', 'node:crypto']
    expect(
      broken(
        ({ from, to }) =>
          areaOf(from) === 'media' && areaOf(to) !== 'media' && !allowed.includes(to),
      ),
    ).toEqual([])
  })

  test('common: itself and media', () => {
    expect(
      broken(
        (one) => areaOf(one.from) === 'common' && isLocal(one) && !/^(common|media)\//.test(one.to),
      ),
    ).toEqual([])
  })

  test('config: itself and common', () => {
    expect(
      broken(
        (one) =>
          areaOf(one.from) === 'config' && isLocal(one) && !/^(common|config)\//.test(one.to),
      ),
    ).toEqual([])
  })

  test('roles: themselves, media, common and types of config; only main.ts loads a config', () => {
    expect(
      broken((one) => {
        const role = roleOf(one.from)
        if (!role || !isLocal(one) || /^(media|common)\//.test(one.to)) return false
        if (areaOf(one.to) === 'config') return !one.isType && path.basename(one.from) !== 'main.ts'
        return roleOf(one.to) !== role
      }),
    ).toEqual([])
  })

  test('bin: of a role only its main.ts', () => {
    expect(
      broken(
        ({ from, to }) =>
          areaOf(from) === 'bin' && roleOf(to) !== undefined && !to.endsWith('/main.ts'),
      ),
    ).toEqual([])
  })

  test('web: itself, the contract, the clock and the event stream reader', () => {
    expect(
      broken(
        (one) =>
          areaOf(one.from) === 'web' &&
          isLocal(one) &&
          !/^(web\/|common\/contract\/|common\/(clock|cluster\/event-stream)\.ts$)/.test(one.to),
      ),
    ).toEqual([])
  })

  test('nothing imports tests or benches; a bench may use what tests are built with', () => {
    expect(
      broken(({ from, to }) => {
        if (areaOf(from) === 'bench' && to.startsWith('test/support/')) return false
        return /^(test|bench)\//.test(to) && areaOf(from) !== areaOf(to)
      }),
    ).toEqual([])
  })
})

const homes: Record<string, RegExp> = {
  pino: /^common\//,
  'pino-pretty': /^common\//,
  undici: /^common\//,
  hashring: /^common\//,
  'lru-cache': /^common\//,
  jose: /^common\//,
  '@prometheus-io/client': /^common\//,
  '@peculiar/x509': /^common\/local-ca\//,
  hono: /^(coordinator|common\/admin)\//,
  '@hono/node-server': /^(coordinator|common\/admin)\//,
  '@hono/zod-openapi': /^coordinator\//,
  kysely: /^coordinator\//,
  'fluent-ffmpeg': /^origin\/transcoder\//,
  'node-media-server': /^origin\/transcoder\//,
  commander: /^bin\//,
  autocannon: /^bench\//,
}

test.each(Object.entries(homes))('%s has one home', (name, home) => {
  const isThis = (to: string) => to === name || to.startsWith(`${name}/`)
  expect(broken(({ from, to }) => isThis(to) && !home.test(from))).toEqual([])
})

describe('what stands in one place only', () => {
  const lines = files
    .filter(({ name }) => !/^(web|bench)\//.test(name))
    .flatMap(({ name, text }) =>
      text.split('\n').map((line, index) => ({
        name,
        place: `${name}:${index + 1}`,
        line: line.replace(/^\s*(\/\/|\/?\*).*/, ''),
      })),
    )
  const places = (what: RegExp, allowed: RegExp) =>
    lines
      .filter(({ name, line }) => what.test(line) && !allowed.test(name))
      .map(({ place }) => place)

  test('process.env in config', () => {
    expect(places(/\bprocess\.env\b/, /^config\//)).toEqual([])
  })

  test('process.exit in main.ts and bin', () => {
    expect(places(/\bprocess\.exit\(/, /(^|\/)main\.ts$|^bin\//)).toEqual([])
  })

  test('the wall clock of the machine in common/clock.ts', () => {
    expect(places(/\bDate\.now\(|new Date\(\)/, /^common\/clock\.ts$/)).toEqual([])
  })
})

test('files open with what they are for, are no barrels, and stay readable', () => {
  const offends = ({ name, text }: (typeof files)[number]) =>
    !/^(#!.*\n)?(\/\/|\/\*)/.test(text) ||
    /^(index|utils|helpers|types)\.ts$/.test(path.basename(name)) ||
    !/^[a-z0-9.-]+$/.test(path.basename(name)) ||
    text.split('\n').length > 500
  expect(files.filter(offends).map(({ name }) => name)).toEqual([])
})
