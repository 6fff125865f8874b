// Builds the web pages into web/dist when their sources have changed since the last build.
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { runCaptured } from './captured.mjs'
import { requireNode } from './node-runtime.mjs'
import { step } from './progress.mjs'
import { childEnv, hashOf, modulesDir, root, SetupError } from './project.mjs'
import { makeOnce } from './setup-lock.mjs'

const webDir = join(root, 'web')
const distDir = join(webDir, 'dist')
// Written last and removed first: a build that was cut short never looks fresh.
const stampFile = join(distDir, '.sources-hash')
const viteFile = join(modulesDir, 'vite', 'bin', 'vite.js')

export function webIsFresh() {
  const isBuilt = ['watch', 'console'].every((site) =>
    existsSync(join(distDir, site, 'index.html')),
  )
  // An installation without the development packages brings its pages ready-made.
  if (!existsSync(viteFile)) return isBuilt
  return isBuilt && existsSync(stampFile) && readFileSync(stampFile, 'utf8') === sourcesHash()
}

export function buildWeb() {
  return makeOnce(webIsFresh, build)
}

async function build() {
  if (!existsSync(viteFile)) {
    throw new SetupError('The web pages are not built and vite is not installed. Run: npm ci')
  }
  const hash = sourcesHash()
  rmSync(stampFile, { force: true })
  const { code, tail } = await step('Building the web pages', () =>
    runCaptured(requireNode(), [viteFile, 'build', webDir, '--logLevel', 'warn'], {
      env: childEnv({ packagesFirst: true }),
    }),
  )
  if (code !== 0) throw new SetupError(`${tail}\n\nThe web pages could not be built.`)
  writeFileSync(stampFile, hash)
}

function sourcesHash() {
  const files = [join(root, 'package-lock.json'), ...sourceFiles(webDir)]
  return hashOf(files.flatMap((file) => [relative(root, file), readFileSync(file)]))
}

function sourceFiles(dir) {
  return readdirSync(dir, { withFileTypes: true })
    .filter(({ name }) => name !== 'dist' && name !== 'node_modules' && !name.startsWith('.'))
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .flatMap((entry) => {
      const path = join(dir, entry.name)
      return entry.isDirectory() ? sourceFiles(path) : [path]
    })
}
