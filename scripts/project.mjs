// Where things are in this checkout, what its children get as environment, and the hash that tells changes.
import { createHash } from 'node:crypto'
import { existsSync, readFileSync, realpathSync } from 'node:fs'
import { delimiter, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const root = dirname(dirname(fileURLToPath(import.meta.url)))
export const modulesDir = join(root, 'node_modules')
export const stateDir = join(root, '.nearcast')

/** Something that the person at the keyboard has to mend: shown without a stack, exit code 1. */
export class SetupError extends Error {}

export function readJson(file) {
  return JSON.parse(readFileSync(file, 'utf8'))
}

export function hashOf(parts) {
  const hash = createHash('sha256')
  for (const part of parts) hash.update(part).update('\0')
  return hash.digest('hex')
}

/**
 * Environment for children. Programs of the packages find the new Node first by PATH; npm itself must not:
 * it belongs to the Node that it came with, and it replaces the packages under its own feet.
 */
export function childEnv({ packagesFirst }) {
  const bin = join(modulesDir, '.bin')
  const rest = (process.env.PATH ?? '').split(delimiter).filter((dir) => dir !== bin)
  return { ...process.env, PATH: (packagesFirst ? [bin, ...rest] : rest).join(delimiter) }
}

/** True for the file that Node was told to run, false when it is imported. */
export function isEntry(metaUrl) {
  const [, entry] = process.argv
  return entry !== undefined && existsSync(entry) && realpathSync(entry) === fileURLToPath(metaUrl)
}
