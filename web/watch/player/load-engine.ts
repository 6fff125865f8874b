// Picks and loads the library that can play a protocol in this browser.
import type { Protocol, StartEngine } from './engine.ts'
import { isNativeHlsSupported, startNativeEngine } from './native-engine.ts'

/** `undefined` when this browser cannot play the protocol at all. */
export async function loadEngine(
  protocol: Protocol,
  video: HTMLVideoElement,
): Promise<StartEngine | undefined> {
  const hasMediaSource = 'MediaSource' in globalThis || 'ManagedMediaSource' in globalThis
  if (protocol === 'dash') {
    return hasMediaSource ? (await import('./dash-engine.ts')).startDashEngine : undefined
  }
  if (hasMediaSource) {
    const { isHlsEngineSupported, startHlsEngine } = await import('./hls-engine.ts')
    if (isHlsEngineSupported()) return startHlsEngine
  }
  return isNativeHlsSupported(video) ? startNativeEngine : undefined
}

export function canPlayDash(): boolean {
  return 'MediaSource' in globalThis || 'ManagedMediaSource' in globalThis
}
