// Gets this checkout ready to run: npm packages, Node, programs of the system, web pages. Plain JavaScript,
// because it runs on the Node that the machine has (18 or newer) before the right one is there.
//
//   node scripts/setup.mjs [packages|node|web|ffmpeg|chromium|nginx …]
//
// Asks nothing. NEARCAST_NO_INSTALL=1 keeps it from changing the system; it then names what to install.
import { makeNodeReady, nodeIsReady, requireNode } from './node-runtime.mjs'
import { installPackages, packagesAreFresh } from './npm-packages.mjs'
import { isEntry, SetupError } from './project.mjs'
import { makeOnce } from './setup-lock.mjs'
import { installTools, missingTools, tools } from './system-tools.mjs'
import { buildWeb } from './web-build.mjs'

// In this order: each step may need the ones before it.
const steps = {
  packages: () => makeOnce(packagesAreFresh, installPackages),
  node: () => makeOnce(nodeIsReady, makeNodeReady),
  web: buildWeb,
}

/** Makes ready what is named in `need` and is not yet, and returns the path of the Node to use. */
export async function ensureReady({ need }) {
  // The programs first: where they cannot be installed, that should be told before a long download.
  const programs = need.filter((name) => name in tools)
  await makeOnce(
    () => missingTools(programs).length === 0,
    () => installTools(missingTools(programs)),
  )
  for (const [name, ensure] of Object.entries(steps)) if (need.includes(name)) await ensure()
  return { node: requireNode() }
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
  const known = [...Object.keys(steps), ...Object.keys(tools)]
  const unknown = args.filter((name) => !known.includes(name))
  if (unknown.length > 0) {
    process.stderr.write(`Unknown: ${unknown.join(', ')}. Known: ${known.join(', ')}.\n`)
    return 2
  }
  await ensureReady({ need: args.length > 0 ? args : ['packages', 'node', 'web', 'ffmpeg'] })
  return 0
}

if (isEntry(import.meta.url)) await runScript(main)
