// `npm run fuzz [-- --runs N] [--target name]`: throws damaged bytes at the parsers that strangers reach.
import { runForeground } from './foreground.mjs'
import { ensureReady, runScript } from './setup.mjs'

await runScript(async (args) => {
  const { node } = await ensureReady({ need: ['packages', 'node'] })
  return runForeground(node, ['test/fuzz/main.ts', ...args])
})
