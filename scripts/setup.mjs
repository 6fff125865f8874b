// Gets this checkout ready to run: npm packages, Node, programs of the system, web pages. Plain JavaScript,
// because it runs on the Node that the machine has (18 or newer) before the right one is there.
//
//   node scripts/setup.mjs [packages|node|web|ffmpeg|chromium|nginx …]
//
// Asks nothing. NEARCAST_NO_INSTALL=1 keeps it from changing the system; it then names what to install.
import { readyNode } from './node-runtime.mjs'
import { installPackages, packagesAreFresh } from './npm-packages.mjs'
import { isEntry, SetupError } from './project.mjs'
import { makeOnce } from './setup-lock.mjs'
import { installTools, missingTools, tools } from './system-tools.mjs'
import { buildWeb } from './web-build.mjs'

const parts = ['packages', 'node', 'web']

/** Makes ready what is named in `need` and is not yet. `node` is the path of the Node to use, where one was asked for. */
export async function ensureReady({ need }) {
  // The programs first: where they cannot be installed, that should be told before a long download.
  const programs = need.filter((name) => name in tools)
  await makeOnce(
    () => missingTools(programs).length === 0,
    () => installTools(missingTools(programs)),
  )
  if (need.includes('packages')) await makeOnce(packagesAreFresh, installPackages)
  const node = need.includes('node') ? await readyNode() : undefined
  if (need.includes('web')) await buildWeb()
  return { node }
}

/** Runs a script's main function: a set-up error is told in its own words, and decides the exit code. */
export async function runScript(main) {
  try {
    process.exitCode = await main(process.argv.slice(2))
  } catch (err) {
    process.stderr.write(`${err instanceof SetupError ? err.message : err.stack}\n`)
    process.exitCode = 1
  }
}

async function main(args) {
  const known = [...parts, ...Object.keys(tools)]
  const unknown = args.filter((name) => !known.includes(name))
  if (unknown.length > 0) {
    process.stderr.write(`Unknown: ${unknown.join(', ')}. Known: ${known.join(', ')}.\n`)
    return 2
  }
  await ensureReady({ need: args.length > 0 ? args : ['packages', 'node', 'web', 'ffmpeg'] })
  return 0
}

if (isEntry(import.meta.url)) await runScript(main)
