// `npm run bench [-- scenario…]`: sets up what is missing, then runs the load tests.
import { runForeground } from './foreground.mjs'
import { ensureReady, runScript } from './setup.mjs'

await runScript(async (args) => {
  const { node } = await ensureReady({ need: ['packages', 'node', 'ffmpeg', 'nginx', 'web'] })
  return runForeground(node, ['bench/run.ts', ...args])
})
