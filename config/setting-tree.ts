// The settings of each role as JSON Schema, made from zod, and the walks over it that the loader, the
// environment overrides and the settings page need.
import { z } from 'zod'
import type { Path } from './config-error.ts'
import {
  type ConfigRole,
  coordinatorConfigSchema,
  edgeConfigSchema,
  gatewayConfigSchema,
  transcoderConfigSchema,
} from './schema.ts'

/** The part of JSON Schema that zod writes for our settings. */
export interface SettingSchema {
  type?: 'object' | 'array' | 'string' | 'integer' | 'number' | 'boolean' | 'null'
  description?: string
  default?: unknown
  properties?: Record<string, SettingSchema>
  required?: string[]
  items?: SettingSchema
  anyOf?: SettingSchema[]
  enum?: (string | number)[]
  const?: string | number
  format?: string
  examples?: string[]
  pattern?: string
  minimum?: number
  exclusiveMinimum?: number
  maximum?: number
  minLength?: number
  minItems?: number
}

export const roleSchemas = {
  edge: edgeConfigSchema,
  gateway: gatewayConfigSchema,
  transcoder: transcoderConfigSchema,
  coordinator: coordinatorConfigSchema,
} as const

export const roles = Object.keys(roleSchemas) as ConfigRole[]

/** What may stand in a file of the role: `input`, so that a setting with a default is not required. */
export function settingTree(role: ConfigRole): SettingSchema {
  return normal(z.toJSONSchema(roleSchemas[role], { io: 'input' }) as SettingSchema)
}

/** `type: [string, null]` and `anyOf` say the same; the walks below know one form. */
function normal(schema: SettingSchema): SettingSchema {
  const out: SettingSchema = { ...schema }
  const types: unknown = schema.type
  if (Array.isArray(types)) {
    out.anyOf = types.map((type) => ({ type }))
    delete out.type
  }
  if (schema.properties) {
    out.properties = Object.fromEntries(
      Object.entries(schema.properties).map(([key, value]) => [key, normal(value)]),
    )
  }
  if (schema.items) out.items = normal(schema.items)
  return out
}

export function alternatives(schema: SettingSchema): SettingSchema[] {
  return schema.anyOf ?? [schema]
}

export function child(schema: SettingSchema, key: string | number): SettingSchema | undefined {
  for (const candidate of alternatives(schema)) {
    if (typeof key === 'number' && candidate.items) return candidate.items
    if (candidate.properties && Object.hasOwn(candidate.properties, key)) {
      return candidate.properties[key]
    }
  }
  return undefined
}

export function at(schema: SettingSchema, path: Path): SettingSchema | undefined {
  let node: SettingSchema | undefined = schema
  for (const key of path) node = node && child(node, key)
  return node
}

export function keysOf(schema: SettingSchema): string[] {
  return alternatives(schema).flatMap((candidate) => Object.keys(candidate.properties ?? {}))
}

export function isText(schema: SettingSchema): boolean {
  const kinds = alternatives(schema).filter((candidate) => candidate.type !== 'null')
  return kinds.every(
    (kind) =>
      kind.type === 'string' ||
      typeof kind.const === 'string' ||
      kind.enum?.every((value) => typeof value === 'string'),
  )
}

/** Every leaf setting and section with its path; list entries have `[]` as a key. */
export function* walkSettings(
  schema: SettingSchema,
  path: readonly string[] = [],
): Generator<{ path: readonly string[]; schema: SettingSchema }> {
  for (const [key, value] of Object.entries(schema.properties ?? {})) {
    const here = [...path, key]
    yield { path: here, schema: value }
    yield* walkSettings(value, here)
    if (value.items) yield* walkSettings(value.items, [...here, '[]'])
  }
}

/** What a setting takes, in words: `a whole number from 0 to 65535`. */
export function expectation(schema: SettingSchema): string {
  if (schema.anyOf) return schema.anyOf.map(expectation).join(' or ')
  if (schema.const !== undefined) return JSON.stringify(schema.const)
  if (schema.enum) return `one of ${schema.enum.join(', ')}`
  switch (schema.type) {
    case 'integer':
      return `a whole number${range(schema)}`
    case 'number':
      return `a number${range(schema)}`
    case 'string':
      return text(schema)
    case 'boolean':
      return 'true or false'
    case 'array':
      return `a list${schema.minItems ? ` of at least ${schema.minItems}` : ''}`
    case 'object':
      return `a section with ${schema.required?.join(', ') ?? 'settings'}`
    case 'null':
      return 'null'
    default:
      return 'something else'
  }
}

function text(schema: SettingSchema): string {
  if (schema.format === 'path') return 'the path of a file or folder'
  if (schema.format === 'name-or-path') return 'a name or a path'
  if (schema.format === 'uri') return `a URL such as ${schema.examples?.[0]}`
  if (schema.pattern) return `text that matches ${schema.pattern}`
  if (schema.minLength === 1) return 'text that is not empty'
  if (schema.minLength) return `text of at least ${schema.minLength} characters`
  return 'text'
}

function range({ minimum, exclusiveMinimum, maximum }: SettingSchema): string {
  // zod writes the limits of exact integers where a setting has none of its own.
  const low = minimum === Number.MIN_SAFE_INTEGER ? undefined : minimum
  const high = maximum === Number.MAX_SAFE_INTEGER ? undefined : maximum
  const above = exclusiveMinimum === Number.MIN_SAFE_INTEGER ? undefined : exclusiveMinimum
  if (above !== undefined) {
    return high === undefined ? ` above ${above}` : ` above ${above}, at most ${high}`
  }
  if (low !== undefined && high !== undefined) return ` from ${low} to ${high}`
  if (low !== undefined) return ` of at least ${low}`
  return high === undefined ? '' : ` of at most ${high}`
}
