// The watch page's files.
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { chooseEncoding, StaticPages } from '../../../edge/delivery/static-pages.ts'

async function withFolder(files: Record<string, string>, run: (folder: string) => Promise<void>) {
  const folder = await mkdtemp(join(tmpdir(), 'nearcast-pages-'))
  try {
    for (const [name, content] of Object.entries(files)) {
      await mkdir(join(folder, name, '..'), { recursive: true })
      await writeFile(join(folder, name), content)
    }
    await run(folder)
  } finally {
    await rm(folder, { recursive: true })
  }
}

describe('StaticPages', () => {
  it('knows what is in its folder, by name and with its type', async () => {
    await withFolder({ 'index.html': '<p>', 'assets/a.js': 'a()' }, async (folder) => {
      const pages = await StaticPages.load(folder)
      expect(pages.get('/index.html')?.contentType).toBe('text/html; charset=utf-8')
      expect(pages.get('/assets/a.js')?.body.toString()).toBe('a()')
      expect(pages.get('/assets/../index.html')).toBeUndefined()
      expect(pages.get('/assets')).toBeUndefined()
    })
  })

  it('is empty where nothing has been built', async () => {
    expect((await StaticPages.load(join(tmpdir(), 'nearcast-none'))).isEmpty).toBe(true)
  })

  it.each([
    [undefined, undefined],
    ['gzip, deflate, br', 'br'],
    ['gzip', 'gzip'],
    ['br;q=0, gzip;q=0.5', 'gzip'],
    ['identity', undefined],
  ])('chooses for Accept-Encoding %s: %s', async (accept, coding) => {
    const files = { 'a.js': 'plain', 'a.js.br': 'brotli', 'a.js.gz': 'gzip' }
    await withFolder(files, async (folder) => {
      const file = (await StaticPages.load(folder)).get('/a.js')!
      expect(chooseEncoding(file, accept).coding).toBe(coding)
    })
  })
})
