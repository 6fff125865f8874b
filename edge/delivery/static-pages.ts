// The built watch page in memory: names are looked up in a table, never on disk, so that no path of a request
// can reach another file.

import { readdir, readFile } from 'node:fs/promises'
import { extname, join, relative, sep } from 'node:path'
import { fileURLToPath } from 'node:url'
import { acceptsCoding } from '../../common/net/accept-encoding.ts'

/** Where the build of the watch page is. */
export const watchPages = fileURLToPath(new URL('../../web/dist/watch', import.meta.url))

export interface StaticFile {
  body: Buffer
  contentType: string
  /** Precompressed twins, where the build has made them. */
  encoded: { br?: Buffer; gzip?: Buffer }
}

const contentTypes: Record<string, string> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
  '.webp': 'image/webp',
  '.ico': 'image/x-icon',
  '.json': 'application/json',
  '.woff2': 'font/woff2',
  '.txt': 'text/plain; charset=utf-8',
}

export class StaticPages {
  readonly #files: ReadonlyMap<string, StaticFile>

  constructor(files: ReadonlyMap<string, StaticFile>) {
    this.#files = files
  }

  /** Reads a folder; one that does not exist gives pages that are all missing. */
  static async load(folder: string): Promise<StaticPages> {
    const bodies = new Map<string, Buffer>()
    for (const name of await listFiles(folder)) {
      bodies.set(name, await readFile(join(folder, name)))
    }
    const files = new Map<string, StaticFile>()
    for (const [name, body] of bodies) {
      const contentType = contentTypes[extname(name)]
      if (contentType === undefined) continue
      const br = bodies.get(`${name}.br`)
      const gzip = bodies.get(`${name}.gz`)
      files.set(`/${name}`, {
        body,
        contentType,
        encoded: { ...(br && { br }), ...(gzip && { gzip }) },
      })
    }
    return new StaticPages(files)
  }

  get isEmpty(): boolean {
    return this.#files.size === 0
  }

  /** `path` from the folder, with a leading slash. */
  get(path: string): StaticFile | undefined {
    return this.#files.get(path)
  }
}

async function listFiles(folder: string): Promise<string[]> {
  try {
    const entries = await readdir(folder, { recursive: true, withFileTypes: true })
    return entries
      .filter((entry) => entry.isFile())
      .map((entry) => relative(folder, join(entry.parentPath, entry.name)).split(sep).join('/'))
  } catch (err) {
    if ((err as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw err
  }
}

/** The best of what the client takes: the coding and its bytes. */
export function chooseEncoding(
  file: StaticFile,
  acceptEncoding: string | undefined,
): { coding: 'br' | 'gzip' | undefined; body: Buffer } {
  for (const coding of ['br', 'gzip'] as const) {
    const body = file.encoded[coding]
    if (body && acceptsCoding(acceptEncoding, coding)) return { coding, body }
  }
  return { coding: undefined, body: file.body }
}
