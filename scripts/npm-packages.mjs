// Makes node_modules match package-lock.json, on whatever npm the machine has.
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { runCaptured } from './captured.mjs'
import { hasPackagedNode, linkPackagedNode, nodePackageName } from './node-runtime.mjs'
import { step } from './progress.mjs'
import { childEnv, hashOf, modulesDir, readJson, root, SetupError } from './project.mjs'

const lockFile = join(root, 'package-lock.json')
const stampFile = join(modulesDir, '.nearcast-lock-hash')
// npm's own record of what it installed.
const installedFile = join(modulesDir, '.package-lock.json')

export function packagesAreFresh() {
  const hash = lockHash()
  if (readStamp() === hash) return true
  // A bare `npm ci` leaves no stamp of ours: what it installed counts all the same.
  if (!installedMatchesLock()) return false
  writeFileSync(stampFile, hash)
  return true
}

export async function installPackages() {
  const result = await step('Installing npm packages', async (update) => {
    const ticker = setInterval(() => update(`${countPackages()} so far`), 1000)
    try {
      const first = await npmCi()
      // npm goes on in silence when the download of an optional package fails, and Node is one of those.
      return first.code === 0 && !hasPackagedNode() ? await npmCi() : first
    } finally {
      clearInterval(ticker)
    }
  })
  if (result.code !== 0) {
    throw new SetupError(
      `${result.tail}\n\nnpm could not install the packages. What it said stands above; ` +
        `when that is mended, run the command again (or: npm ci).`,
    )
  }
  linkPackagedNode()
  writeFileSync(stampFile, lockHash())
}

function npmCi() {
  // The development packages build the web pages and run the tests, whatever NODE_ENV or npm's own settings
  // say; no package of ours has an install script to run.
  const args = ['ci', '--include=dev', '--include=optional', '--ignore-scripts', '--loglevel=error']
  return runCaptured('npm', [...args, '--no-audit', '--no-fund', '--no-update-notifier'], {
    env: npmEnv(),
  }).then((result) =>
    result.code === 127
      ? { code: 127, tail: 'npm was not found (on Debian and Ubuntu: apt-get install -y npm).' }
      : result,
  )
}

function npmEnv() {
  const env = childEnv({ packagesFirst: false })
  const node = readJson(lockFile).packages[`node_modules/${nodePackageName}`]
  if (!node) return env
  const shim = JSON.stringify(fileURLToPath(new URL('npm-node-version.cjs', import.meta.url)))
  return {
    ...env,
    NEARCAST_NODE_VERSION: `v${node.version}`,
    NODE_OPTIONS: `${env.NODE_OPTIONS ?? ''} --require=${shim}`,
  }
}

function lockHash() {
  return hashOf([readFileSync(lockFile)])
}

function readStamp() {
  return existsSync(stampFile) ? readFileSync(stampFile, 'utf8') : undefined
}

function installedMatchesLock() {
  if (!existsSync(installedFile)) return false
  const installed = readJson(installedFile).packages
  return Object.entries(readJson(lockFile).packages).every(
    ([path, entry]) =>
      path === '' || mayBeAbsent(entry) || installed[path]?.version === entry.version,
  )
}

/** An optional package that is not made for this very platform. */
function mayBeAbsent({ optional, os, cpu, libc }) {
  if (!optional) return false
  const isGlibc = process.report.getReport().header.glibcVersionRuntime !== undefined
  const includes = (choice, value) => [choice].flat().includes(value)
  const isMadeForUs =
    os !== undefined &&
    includes(os, process.platform) &&
    (cpu === undefined || includes(cpu, process.arch)) &&
    (libc === undefined || includes(libc, isGlibc ? 'glibc' : 'musl'))
  return !isMadeForUs
}

function countPackages() {
  if (!existsSync(modulesDir)) return 0
  return readdirSync(modulesDir).filter((name) => !name.startsWith('.')).length
}
