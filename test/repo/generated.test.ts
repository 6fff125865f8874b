// What is generated from the schema is as the schema says, and the example files are good and complete.
import { globSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { configJsonSchema } from '../../config/json-schema.ts'
import { loadConfig } from '../../config/load.ts'
import type { ConfigRole } from '../../config/schema.ts'
import { roles, settingTree, walkSettings } from '../../config/setting-tree.ts'
import { settingsPage } from '../../config/settings-page.ts'

const read = (name: string) => readFileSync(new URL(`../../${name}`, import.meta.url), 'utf8')
const regenerate = 'is stale: node scripts/generate-config-docs.ts'

test('the JSON Schema is up to date', () => {
  const file = read('config/schema/nearcast.schema.json')
  expect(file, regenerate).toBe(`${JSON.stringify(configJsonSchema(), null, 2)}\n`)
})

test('the settings page is up to date', () => {
  expect(read('docs/settings.md'), regenerate).toBe(settingsPage())
})

describe.each(roles)('the example of a %s', (role) => {
  const text = read(`config/${role}.yaml`)

  test('starts with the line that tells an editor its schema', () => {
    expect(text.split('\n')[0]).toBe('# yaml-language-server: $schema=schema/nearcast.schema.json')
  })

  test('is a good config, as it stands and with every comment about a default taken in', () => {
    expect(loadExample(role, text).node.id).toMatch(/-1$/)
    const defaults = loadExample(role, uncommented(text))
    expect(defaults.node.id).toMatch(/-1$/)
  })

  test('shows every setting, and the default of each as it is', () => {
    const shown = parse(uncommented(text)) as Record<string, unknown>
    const missing: string[] = []
    for (const { path: where, schema } of walkSettings(settingTree(role))) {
      if (where.includes('[]') || schema.type === 'object') continue
      const name = where.join('.')
      const value = valueAt(shown, where)
      if (value === undefined && !isPlainText(name)) missing.push(name)
    }
    expect(missing).toEqual([])
  })
})

test.each(roles)('every setting of a %s is described', (role) => {
  const silent = [...walkSettings(settingTree(role))].filter(({ schema }) => !schema.description)
  expect(silent.map(({ path: where }) => where.join('.'))).toEqual([])
})

test('a comment that names a default names the right one', () => {
  for (const role of roles) {
    const tree = settingTree(role)
    const shown = parse(uncommented(read(`config/${role}.yaml`))) as Record<string, unknown>
    const active = parse(read(`config/${role}.yaml`)) as Record<string, unknown>
    for (const { path: where, schema } of walkSettings(tree)) {
      if (where.includes('[]') || schema.type === 'object' || schema.default == null) continue
      if (schema.items?.type === 'object') continue
      if (valueAt(active, where) !== undefined) continue
      const value = valueAt(shown, where)
      if (value !== undefined && !isPath(schema.format)) {
        expect(value, `${role}: ${where.join('.')}`).toEqual(schema.default)
      }
    }
  }
})

/** Settings that an example leaves out on purpose: what belongs into a file of its own, what few need. */
function isPlainText(name: string): boolean {
  return (
    /(^|\.)(secret|token|adminToken)$/.test(name) ||
    /^node\.(region|latitude|longitude|weight)$/.test(name) ||
    /^(tls|http|rtmp|listen)\.host$/.test(name) ||
    name === 'tls.localCa.dir'
  )
}

function isPath(format: string | undefined): boolean {
  return format === 'path'
}

/** The file with each commented setting made a setting. */
function uncommented(text: string): string {
  return text
    .split('\n')
    .map((line) => line.replace(/^(\s*)# ( *(?:- )?[a-zA-Z][a-zA-Z0-9]*:(?: [^ ].*)?)$/, '$1$2'))
    .filter((line) => !/^#/.test(line))
    .join('\n')
}

function loadExample(role: ConfigRole, text: string) {
  const folder = mkdtempSync(path.join(tmpdir(), 'nearcast-example-'))
  try {
    const secret = path.join(folder, 'secret')
    writeFileSync(secret, 'x'.repeat(40), { mode: 0o600 })
    const file = path.join(folder, `${role}.yaml`)
    writeFileSync(
      file,
      text.replaceAll(/\/etc\/nearcast\/(cluster-secret|admin-listener-token)/g, secret),
    )
    return loadConfig<ConfigRole>(file, { role, env: {}, warn: () => expect.unreachable() })
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

function valueAt(root: unknown, where: readonly string[]): unknown {
  let node = root
  for (const key of where) node = (node as Record<string, unknown> | undefined | null)?.[key]
  return node
}

describe('the configs of compose.yaml', () => {
  const folder = new URL('../../deploy/compose/', import.meta.url)
  const files = globSync('*.yaml', { cwd: folder })

  test('are there', () => {
    expect(files.length).toBeGreaterThanOrEqual(6)
  })

  test.each(files)('%s is good', (name) => {
    // The secret itself is made when the containers start.
    const env = { NEARCAST__CLUSTER__SECRET: 'x'.repeat(40) }
    const warn = () => expect.unreachable()
    expect(() => loadConfig(fileURLToPath(new URL(name, folder)), { env, warn })).not.toThrow()
  })
})
