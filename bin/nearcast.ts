#!/usr/bin/env node
// The `nearcast` command. The check of Node stands first, so that it runs before anything that a too old Node
// would stumble over; `nearcast.mjs` is the same for a Node that cannot even read TypeScript.
const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
if (major < 24 || (major === 24 && minor < 7)) {
  process.stderr.write(
    `nearcast needs Node 24.7 or newer; this is ${process.versions.node}. ` +
      'After `npm ci` there is one: use `npx nearcast`, or node_modules/.bin/node.\n',
  )
  process.exit(1)
}

// Types are stripped and code is compiled once, not at every start: a third less time and 20 MB less memory.
const { enableCompileCache } = await import('node:module')
enableCompileCache(import.meta.dirname.replace(/bin$/, 'node_modules/.cache/nearcast'))

const { run } = await import('./program.ts')
process.exit(await run(process.argv))
