// `nearcast cache why`: what an edge would do with a URL now, and why.
import type { Command } from 'commander'
import type { Why } from '../../common/cache/cache-report.ts'
import { type AdminOptions, adminOfEdge, readAdmin, withAdmin } from '../admin-access.ts'
import { printJson, printLine } from '../output.ts'
import { whyText } from '../why-text.ts'

export function register(program: Command): void {
  const cache = program.command('cache').description('the cache of an edge')

  withAdmin(cache.command('why'))
    .description('tell what an edge would do with a URL now, and why')
    .argument('<url>', 'URL, or path and query; as it is, nothing is decoded')
    .option('--json', 'as JSON')
    .addHelpText(
      'after',
      `
Nothing is fetched and nothing changes by asking. Of several POPs, the one that the URL leads to is asked, else --node.`,
    )
    .action(async (url: string, { json, ...options }: AdminOptions & { json?: boolean }) => {
      const admin = await adminOfEdge(options, url)
      const why = await readAdmin<Why>(admin, `/cache/why?url=${encodeURIComponent(url)}`)
      if (json) printJson(why)
      else printLine(whyText(why))
    })
}
