// zod's issues in our words: got what, expected what, did you mean which.
import type { z } from 'zod'
import { isSecretPath, type Path, pathText } from './config-error.ts'
import {
  at,
  expectation,
  keysOf,
  roles,
  type SettingSchema,
  settingTree,
  walkSettings,
} from './setting-tree.ts'
import { suggestion } from './suggestion.ts'

type Issue = z.core.$ZodIssue

/** `got "abc", expected a whole number from 0 to 65535`; `shown` is false for values that must stay hidden. */
export function issueText(issue: Issue, value: unknown, tree: SettingSchema, shown = true): string {
  const path = issue.path as Path
  const schema = at(tree, path)
  if (issue.code === 'custom' && typeof value === 'object') return issue.message
  const expected = issue.code === 'custom' || !schema ? issue.message : expectation(schema)
  return `got ${gotText(value, shown && !isSecretPath(path))}, expected ${expected}${hint(value, schema)}`
}

export function gotText(value: unknown, shown = true): string {
  if (value === undefined) return 'nothing'
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'a list'
  if (typeof value === 'object') return 'a section'
  if (!shown) return typeof value === 'string' ? `${value.length} characters` : `a ${typeof value}`
  const text = typeof value === 'string' ? JSON.stringify(value) : String(value)
  return text.length > 60 ? `${text.slice(0, 57)}…"` : text
}

function hint(value: unknown, schema: SettingSchema | undefined): string {
  const wants = (type: string) =>
    schema?.type === type || schema?.anyOf?.some((s) => s.type === type)
  if (wants('boolean') && typeof value === 'string' && /^(yes|no|on|off)$/i.test(value)) {
    return ' (yes, no, on and off are plain text in YAML 1.2)'
  }
  if (wants('string') && (typeof value === 'number' || typeof value === 'boolean')) {
    return ' (put it into quotes)'
  }
  if (schema?.type === 'integer' && typeof value === 'string' && /^\d+\s*[a-z]+$/i.test(value)) {
    return ' (the unit is in the name of the setting)'
  }
  return ''
}

/** What to say about a key that the section does not know. */
export function unknownKeyText(key: string, section: Path, tree: SettingSchema): string {
  const known = keysOf(at(tree, section) ?? {})
  const near = suggestion(key, known)
  if (near) return `unknown setting; did you mean "${near}"?`
  const elsewhere = placesOf(key, tree)
  if (elsewhere.length > 0) return `unknown setting here; did you mean ${elsewhere.join(' or ')}?`
  const others = roles.filter((role) => at(settingTree(role), [...section, key]))
  if (others.length > 0) return `unknown setting; only role ${others.join(' and ')} has it`
  return `unknown setting; expected one of ${known.join(', ')}`
}

function placesOf(key: string, tree: SettingSchema): string[] {
  return [...walkSettings(tree)]
    .filter(({ path }) => path.at(-1) === key && !path.includes('[]'))
    .map(({ path }) => pathText(path))
    .slice(0, 3)
}
