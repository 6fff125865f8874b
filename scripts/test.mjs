// `npm test`: sets up what is missing, then runs every check and every test. Arguments go to vitest, and then
// it runs alone: `npm test -- test/edge`.
import { add, conclude, nothing, runStaticChecks, runVitest } from './checks.mjs'
import { ensureReady, runScript } from './setup.mjs'
import { pathOfTool } from './system-tools.mjs'

await runScript(async (args) => {
  const { node } = await ensureReady({ need: ['packages', 'node', 'ffmpeg', 'chromium', 'web'] })
  // Browsers of the family go by several names.
  process.env.NEARCAST_TEST_BROWSER ??= pathOfTool('chromium')
  const statics = args.length === 0 ? await runStaticChecks(node) : nothing
  return conclude(add(statics, await runVitest(node, args)))
})
