// `npm run check`: what must hold before a commit. Format, lint and types; then the rules of the repository
// as tests: who may import whom, every main.ts boots under real Node, generated files have no difference.
import { add, conclude, runStaticChecks, runVitest } from './checks.mjs'
import { ensureReady, runScript } from './setup.mjs'

await runScript(async () => {
  const { node } = await ensureReady({ need: ['packages', 'node', 'web'] })
  const statics = await runStaticChecks(node)
  return conclude(add(statics, await runVitest(node, ['--project', 'unit', 'test/repo'])))
})
