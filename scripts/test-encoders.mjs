// `npm run test:encoders`: publishes with real encoders (ffmpeg, GStreamer, OBS Studio). Opt-in, and it
// installs no program: a test says which encoder it misses.
import { runForeground } from './foreground.mjs'
import { ensureReady, runScript } from './setup.mjs'

await runScript(async (args) => {
  const { node } = await ensureReady({ need: ['packages', 'node', 'web'] })
  const vitest = 'node_modules/vitest/vitest.mjs'
  return runForeground(node, [vitest, 'run', '--config', 'vitest.encoders.config.ts', ...args])
})
