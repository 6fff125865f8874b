#!/usr/bin/env node
// What `npx nearcast` starts: plain JavaScript, so that any Node can read it. Goes on in this process where
// the Node is new enough, else hands over to the Node that `npm ci` has put into node_modules.
import { spawn } from 'node:child_process'
import { accessSync, constants } from 'node:fs'
import { fileURLToPath } from 'node:url'

const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
const program = new URL('./nearcast.ts', import.meta.url)

if (major > 24 || (major === 24 && minor >= 7)) {
  await import(program.href)
} else {
  const node = fileURLToPath(new URL('../node_modules/.bin/node', import.meta.url))
  try {
    accessSync(node, constants.X_OK)
  } catch {
    process.stderr.write(
      `nearcast needs Node 24.7 or newer; this is ${process.versions.node}, and ${node} is absent. ` +
        'Run `npm ci`, or install a newer Node.\n',
    )
    process.exit(1)
  }
  const child = spawn(node, [fileURLToPath(program), ...process.argv.slice(2)], {
    stdio: 'inherit',
  })
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal))
  child.once('exit', (code) => process.exit(code ?? 1))
}
