// `npm run chaos [-- fault…|all] [--runs N]`: sets up what is missing, then strikes a running cluster with faults.
import { runForeground } from './foreground.mjs'
import { ensureReady, runScript } from './setup.mjs'

await runScript(async (args) => {
  const { node } = await ensureReady({ need: ['packages', 'node', 'ffmpeg', 'web'] })
  return runForeground(node, ['bench/chaos/main.ts', ...args])
})
