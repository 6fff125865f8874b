// Builds one of the two web sites into a folder of the test's own, by the settings that ship it.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createBuilder } from 'vite'

const webDir = join(import.meta.dirname, '../../web')

export interface BuiltSite extends AsyncDisposable {
  dir: string
}

export async function buildSite(name: 'watch' | 'console'): Promise<BuiltSite> {
  const dir = await mkdtemp(join(tmpdir(), `nearcast-${name}-`))
  const builder = await createBuilder({
    configFile: join(webDir, 'vite.config.ts'),
    logLevel: 'warn',
    environments: { [name]: { build: { outDir: dir } } },
  })
  await builder.build(builder.environments[name]!)
  return {
    dir,
    [Symbol.asyncDispose]: () => rm(dir, { recursive: true, force: true }),
  }
}
