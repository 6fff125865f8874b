#!/usr/bin/env node
// The `nearcast` command. Only the check of Node stands here, so that it runs before anything that a too
// old Node would stumble over; `nearcast.mjs` is the same for a Node that cannot even read TypeScript.
const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
if (major < 24 || (major === 24 && minor < 7)) {
  process.stderr.write(
    `nearcast needs Node 24.7 or newer; this is ${process.versions.node}. ` +
      'After `npm ci` there is one: use `npx nearcast`, or node_modules/.bin/node.\n',
  )
  process.exit(1)
}

const { run } = await import('./program.ts')
process.exit(await run(process.argv))
