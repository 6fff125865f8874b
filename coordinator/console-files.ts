// The console's static files, as the web build left them; a page that may load nothing from another host.
import { readFile } from 'node:fs/promises'
import { extname, join, normalize, sep } from 'node:path'
import type { Context } from 'hono'
import { Problem } from './problem.ts'

const contentTypes: Record<string, string> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.json': 'application/json',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
  '.ico': 'image/x-icon',
  '.woff2': 'font/woff2',
  '.webmanifest': 'application/manifest+json',
}

const contentSecurityPolicy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data:",
  "font-src 'self'",
  "connect-src 'self'",
  "manifest-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ')

/** Answers GET for a path below `/`; a Problem where there is no such file. */
export async function consoleFile(c: Context, dir: string): Promise<Response> {
  const path = relativePath(c.req.path)
  const type = path === undefined ? undefined : contentTypes[extname(path)]
  const bytes = path !== undefined && type ? await readIfThere(join(dir, path)) : undefined
  if (!bytes || !type) {
    const detail =
      path === 'index.html'
        ? 'The console is not built. Run "npm run build".'
        : `There is nothing at ${c.req.path}.`
    throw new Problem(404, 'not-found', detail)
  }
  const isPage = type.startsWith('text/html')
  // Vite puts a hash into every name below assets/, so such a file never changes.
  const isImmutable = path!.startsWith(`assets${sep}`)
  return c.body(new Uint8Array(bytes), 200, {
    'content-type': type,
    'cache-control': isPage
      ? 'no-store'
      : isImmutable
        ? 'public, max-age=31536000, immutable'
        : 'no-cache',
    ...(isPage && { 'content-security-policy': contentSecurityPolicy }),
  })
}

/** `undefined` for what could leave the folder or is hidden in it. */
function relativePath(urlPath: string): string | undefined {
  let decoded: string
  try {
    decoded = decodeURIComponent(urlPath)
  } catch {
    return undefined
  }
  const path = normalize(decoded === '/' ? 'index.html' : decoded.slice(1))
  const isInside = !path.includes('\0') && !path.split(sep).some((part) => part.startsWith('.'))
  return isInside && !path.startsWith(sep) ? path : undefined
}

async function readIfThere(file: string): Promise<Buffer | undefined> {
  try {
    return await readFile(file)
  } catch {
    return undefined
  }
}
