// Where things are in this checkout, which Node runs it, and the hash that tells whether something changed.
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
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

const minimumNode = /\d+\.\d+/.exec(readJson(join(root, 'package.json')).engines.node)[0]

function isNewEnough(version) {
  const [major, minor] = version.replace(/^v/, '').split('.').map(Number)
  const [needMajor, needMinor] = minimumNode.split('.').map(Number)
  return major > needMajor || (major === needMajor && minor >= needMinor)
}

/** The Node that runs the TypeScript sources: the one among the packages, else the one that runs this. */
export function findNode() {
  for (const candidate of [join(modulesDir, '.bin', 'node'), process.execPath]) {
    const { stdout, status } = spawnSync(candidate, ['--version'], { encoding: 'utf8' })
    if (status === 0 && isNewEnough(stdout)) return candidate
  }
  return undefined
}

export function requireNode() {
  const node = findNode()
  if (node) return node
  throw new SetupError(
    `Node ${minimumNode} or newer is needed, this is ${process.version}, and no package of Node fits ` +
      `${process.platform} on ${process.arch}.\nInstall Node ${minimumNode} or newer, then run the command again.`,
  )
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
