// Builds both sites at once: `vite build web` writes dist/watch and dist/console, each a folder whose
// index.html names its assets as /assets/….
import { readFile, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { brotliCompress, constants, gzip } from 'node:zlib'
import { type BuildEnvironmentOptions, defineConfig, type Plugin } from 'vite'

const root = import.meta.dirname
const sites = ['watch', 'console'] as const

function site(name: (typeof sites)[number]): BuildEnvironmentOptions {
  return {
    outDir: resolve(root, 'dist', name),
    emptyOutDir: true,
    assetsDir: 'assets',
    // A data: URI would need its own exception in the content security policy.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    target: 'es2022',
    // The players are big by nature and loaded after the page; the shell has its own budget test.
    chunkSizeWarningLimit: 1_200,
    rollupOptions: { input: resolve(root, name, 'index.html') },
  }
}

/** Vite keeps the source folder in the page's name; a site has its page at its own root. */
const pageAtRoot: Plugin = {
  name: 'nearcast:page-at-root',
  enforce: 'post',
  generateBundle(_options, bundle) {
    for (const [key, file] of Object.entries(bundle)) {
      if (key.endsWith('/index.html')) file.fileName = 'index.html'
    }
  },
}

const compressible = /\.(html|js|css|svg)$/
// Two below the best: a tenth of its time for some 3 % more bytes, and `npm start` waits for this build.
const brotliQuality = 9

/** Twins for servers that answer with a coding but do not compress while they serve. */
const compressedTwins: Plugin = {
  name: 'nearcast:compressed-twins',
  async writeBundle({ dir }, bundle) {
    const files = Object.values(bundle).map(({ fileName }) => join(dir!, fileName))
    for (const file of files.filter((name) => compressible.test(name))) {
      const body = await readFile(file)
      const params = { [constants.BROTLI_PARAM_QUALITY]: brotliQuality }
      await writeFile(`${file}.br`, await promisify(brotliCompress)(body, { params }))
      await writeFile(`${file}.gz`, await promisify(gzip)(body, { level: 9 }))
    }
  },
}

export default defineConfig({
  root,
  base: '/',
  publicDir: false,
  oxc: { jsx: { runtime: 'automatic', importSource: 'preact' } },
  plugins: [pageAtRoot, compressedTwins],
  environments: Object.fromEntries(
    sites.map((name) => [name, { consumer: 'client', build: site(name) }]),
  ),
  builder: {
    async buildApp(builder) {
      for (const name of sites) await builder.build(builder.environments[name]!)
    },
  },
})
