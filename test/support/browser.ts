// A real, headless Chromium for tests: the one that `npm test` found, or Debian's; it looks nothing up outside.
import { type Browser, chromium, type Page } from 'playwright-core'

const executablePath = process.env.NEARCAST_TEST_BROWSER ?? '/usr/bin/chromium'

/** @param extra Arguments that this test alone needs. */
export function launchBrowser(...extra: string[]): Promise<Browser> {
  return chromium.launch({
    executablePath,
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      '--autoplay-policy=no-user-gesture-required',
      ...extra,
    ],
  })
}

/** What the watch page tells about its player. */
export interface PlayerState {
  protocol: 'hls' | 'dash'
  currentTime: number
  latencyMode: 'low' | 'normal'
  latencySeconds: number | null
  targetLatencySeconds: number | null
  timeToFirstPictureMs: number | null
  stalls: number
  rendition: string | null
}

export async function playerState(page: Page): Promise<PlayerState | undefined> {
  return await page.evaluate(() => {
    const diagnostics = (
      globalThis as unknown as { __nearcast?: { state(): PlayerState | undefined } }
    ).__nearcast
    return diagnostics?.state()
  })
}

/** A hash of the picture that the page's video shows now: two that differ prove that it moves. */
export async function pictureHash(page: Page): Promise<number> {
  return await page.evaluate(() => {
    interface Pixels {
      data: Uint8ClampedArray
    }
    interface Canvas {
      width: number
      height: number
      getContext(kind: '2d'): {
        drawImage(source: unknown, x: number, y: number, w: number, h: number): void
        getImageData(x: number, y: number, w: number, h: number): Pixels
      }
    }
    const { document } = globalThis as unknown as {
      document: { querySelector(name: string): unknown; createElement(name: string): Canvas }
    }
    const canvas = document.createElement('canvas')
    canvas.width = 64
    canvas.height = 36
    const context = canvas.getContext('2d')
    context.drawImage(document.querySelector('video'), 0, 0, 64, 36)
    let hash = 0
    for (const value of context.getImageData(0, 0, 64, 36).data) hash = (hash * 31 + value) | 0
    return hash
  })
}
