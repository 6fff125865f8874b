// `npm start`: sets up what is missing, then runs the demo. Further arguments go to `nearcast up`.
import { runForeground } from './foreground.mjs'
import { ensureReady, runScript } from './setup.mjs'

await runScript(async (args) => {
  const { node } = await ensureReady({ need: ['packages', 'node', 'ffmpeg', 'web'] })
  const demo = ['--publisher', '--pops', '2', '--data', '.nearcast/demo']
  return runForeground(node, ['bin/nearcast.ts', 'up', ...demo, ...args], { ownGroup: true })
})
