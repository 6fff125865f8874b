// `npm run soak [-- edge] [--minutes N]`: sets up what is missing, then runs a whole cluster, or one edge, for long.
import { runForeground } from './foreground.mjs'
import { ensureReady, runScript } from './setup.mjs'

await runScript(async (args) => {
  const { node } = await ensureReady({ need: ['packages', 'node', 'ffmpeg', 'web'] })
  return runForeground(node, ['bench/soak.ts', ...args])
})
