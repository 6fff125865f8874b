// Environment variables over the file: NEARCAST__TLS__PORT=8443 sets tls.port.
//
// Two underscores part the levels, single ones inside a level and the case do not count (TLS__LOCAL_CA is
// tls.localCa), a number names an entry of a list. A value is read as YAML where the setting is not text.
// A name that ends in _FILE takes the value from that file.
import { readFileSync } from 'node:fs'
import { parseDocument } from 'yaml'
import { type Path, readFailure } from './config-error.ts'
import { alternatives, child, isText, keysOf, type SettingSchema } from './setting-tree.ts'
import { suggestion } from './suggestion.ts'

export type Environment = Readonly<Record<string, string | undefined>>

/** The only place that reads the process's environment. */
export function processEnvironment(): Environment {
  return process.env
}

const prefix = 'NEARCAST__'

export type Override =
  | { variable: string; path: Path; value: unknown }
  | { variable: string; problem: string; unknown: boolean }

/** Every override in the environment, in an order that does not depend on the environment's own. */
export function overridesOf(environment: Environment, tree: SettingSchema): Override[] {
  return Object.entries(environment)
    .filter(([name, value]) => name.startsWith(prefix) && value !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([variable, value]) => overrideOf(variable, value!, tree))
}

function overrideOf(variable: string, text: string, tree: SettingSchema): Override {
  const segments = variable.slice(prefix.length).split('__')
  const path: (string | number)[] = []
  let schema = tree
  let fromFile = false
  for (const [index, segment] of segments.entries()) {
    let key = keyFor(segment, schema)
    if (key === undefined && index === segments.length - 1 && /_FILE$/i.test(segment)) {
      key = keyFor(segment.slice(0, -'_FILE'.length), schema)
      fromFile = true
    }
    const next = key === undefined ? undefined : child(schema, key)
    if (key === undefined || !next) {
      const near = suggestion(segment, keysOf(schema))
      const where = path.length > 0 ? ` in ${path.join('.')}` : ''
      const hint = near ? `; did you mean ${[...path, near].join('.')}?` : ''
      return { variable, problem: `unknown setting "${segment}"${where}${hint}`, unknown: true }
    }
    path.push(key)
    schema = next
  }
  let raw = text
  if (fromFile) {
    try {
      raw = readFileSync(text, 'utf8').trim()
    } catch (err) {
      const problem = `cannot read ${text}: ${readFailure(err)}`
      return { variable, problem, unknown: false }
    }
  }
  return { variable, path, value: typedValue(raw, schema) }
}

function keyFor(segment: string, schema: SettingSchema): string | number | undefined {
  if (/^\d+$/.test(segment) && alternatives(schema).some((kind) => kind.items)) {
    return Number(segment)
  }
  const plain = (name: string) => name.replaceAll('_', '').toLowerCase()
  return keysOf(schema).find((key) => plain(key) === plain(segment))
}

/** Text stays as it is where the setting is text; elsewhere it is YAML: numbers, lists, null. */
export function typedValue(text: string, schema: SettingSchema | undefined): unknown {
  if (schema && isText(schema)) {
    const takesNull = alternatives(schema).some((kind) => kind.type === 'null')
    return takesNull && (text === '' || text === 'null') ? null : text
  }
  const document = parseDocument(text, { prettyErrors: false })
  return document.errors.length > 0 ? text : document.toJS()
}

/** Puts a value into a tree of plain objects and lists, making what lies on the way. */
export function put(root: Record<string, unknown>, path: Path, value: unknown): void {
  let node: Record<string | number, unknown> = root
  for (const [index, key] of path.entries()) {
    if (index === path.length - 1) {
      node[key] = value
      return
    }
    const wantsList = typeof path[index + 1] === 'number'
    const next = node[key]
    if (typeof next !== 'object' || next === null || Array.isArray(next) !== wantsList) {
      node[key] = wantsList ? [] : {}
    }
    node = node[key] as Record<string | number, unknown>
  }
}
