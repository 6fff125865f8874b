// `window.__nearcast`: what the player is doing, for tests and for support. Diagnostics, not an API:
// documented in web/README.md.
import type { Theatre } from './theatre.ts'

export interface Diagnostics {
  protocol: 'hls' | 'dash'
  currentTime: number
  /** Seconds of media ahead of the picture. */
  buffered: number
  latencyMode: 'low' | 'normal'
  latencySeconds: number | null
  targetLatencySeconds: number | null
  timeToFirstPictureMs: number | null
  stalls: number
  rendition: string | null
  scene: string
  lastFatal: string | null
}

declare global {
  interface Window {
    __nearcast?: { state(): Diagnostics }
  }
}

export function exposeDiagnostics(theatre: Theatre): void {
  window.__nearcast = {
    state() {
      const { protocol, latencyMode, scene } = theatre.view.get()
      const readout = theatre.readNow()
      return {
        protocol,
        currentTime: readout.currentTime,
        buffered: readout.bufferedSeconds,
        latencyMode,
        latencySeconds: readout.latencySeconds,
        targetLatencySeconds: readout.targetLatencySeconds,
        timeToFirstPictureMs: readout.timeToFirstPictureMs,
        stalls: readout.stalls,
        rendition: readout.rendition,
        scene,
        lastFatal: theatre.lastFatal,
      }
    },
  }
}
