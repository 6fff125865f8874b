// A wall clock burnt into the picture as a row of black and white boxes, and its reading from a player's video
// element: latency from glass to glass, measured and not derived from any timestamp of the stream.
import type { Page } from 'playwright-core'

const bits = 16
const unitMs = 10
/** Of a picture that is 1280 wide; scaled down with it. */
const boxWidth = 64

/**
 * ffmpeg video filters that write the time at which a frame passes, in units of 10 ms modulo 2^16. Frames leave
 * with even timestamps: two that passed within one tick of the encoder would cost one of them.
 */
export function stampFilters(framesPerSecond = 30): string {
  const boxes = Array.from({ length: bits }, (_, bit) => {
    const isSet = `gte(mod(floor(t*${1000 / unitMs}/${2 ** bit})\\,2)\\,1)`
    return `drawbox=x=${bit * boxWidth}:y=0:w=${boxWidth}:h=${boxWidth}:color=white:t=fill:enable='${isSet}'`
  })
  const background = `drawbox=x=0:y=0:w=${bits * boxWidth}:h=${boxWidth}:color=black:t=fill`
  const even = `setpts=N/(${framesPerSecond}*TB)`
  return ['settb=1/1000', 'setpts=RTCTIME/1000', background, ...boxes, even].join(',')
}

/** Milliseconds from the camera to the screen of this page's video; undefined before there is a picture. */
export async function glassToGlassMs(page: Page): Promise<number | undefined> {
  return await page.evaluate(
    ({ bits, unitMs, boxWidth }) => {
      interface Canvas {
        width: number
        height: number
        getContext(kind: '2d'): {
          drawImage(source: unknown, x: number, y: number, w: number, h: number): void
          getImageData(x: number, y: number, w: number, h: number): { data: Uint8ClampedArray }
        }
      }
      const { document } = globalThis as unknown as {
        document: {
          querySelector(name: string): { videoWidth: number } | null
          createElement(name: string): Canvas
        }
      }
      const video = document.querySelector('video')
      if (!video?.videoWidth) return undefined
      const canvas = document.createElement('canvas')
      canvas.width = 1280
      canvas.height = 720
      const context = canvas.getContext('2d')
      context.drawImage(video, 0, 0, 1280, 720)
      const now = Date.now()
      let stamp = 0
      for (let bit = 0; bit < bits; bit++) {
        const pixel = context.getImageData((bit + 0.5) * boxWidth, boxWidth / 2, 1, 1).data
        if ((pixel[1] ?? 0) > 127) stamp += 2 ** bit
      }
      const range = 2 ** bits
      const elapsed = Math.floor(now / unitMs) - stamp
      return (((elapsed % range) + range) % range) * unitMs
    },
    { bits, unitMs, boxWidth },
  )
}
