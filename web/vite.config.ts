// Builds both sites at once: `vite build web` writes dist/watch and dist/console, each a folder whose
// index.html names its assets as /assets/….
import { resolve } from 'node:path'
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

export default defineConfig({
  root,
  base: '/',
  publicDir: false,
  oxc: { jsx: { runtime: 'automatic', importSource: 'preact' } },
  plugins: [pageAtRoot],
  environments: Object.fromEntries(
    sites.map((name) => [name, { consumer: 'client', build: site(name) }]),
  ),
  builder: {
    async buildApp(builder) {
      for (const name of sites) await builder.build(builder.environments[name]!)
    },
  },
})
