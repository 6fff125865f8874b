// HLS by the browser itself, for those without Media Source Extensions: it chooses the rendition alone.
import { latencyFromDate } from './choice.ts'
import type { StartEngine } from './engine.ts'

export function isNativeHlsSupported(video: HTMLVideoElement): boolean {
  return video.canPlayType('application/vnd.apple.mpegurl') !== ''
}

export const startNativeEngine: StartEngine = (source, events) => {
  const { video, url, isLive } = source
  const onError = () => events.onFatal(video.error?.message ?? 'media error')
  video.addEventListener('error', onError)
  video.addEventListener('resize', events.onChange)
  video.src = url

  return {
    protocol: 'hls',
    choices: () => [],
    current() {
      if (video.videoHeight === 0) return null
      return { id: 'auto', height: video.videoHeight, framesPerSecond: null, bitsPerSecond: 0 }
    },
    choose() {},
    latencySeconds() {
      const { getStartDate } = video as HTMLVideoElement & { getStartDate?: () => Date }
      const start = isLive ? getStartDate?.call(video).getTime() : undefined
      if (start === undefined || Number.isNaN(start)) return null
      return latencyFromDate(start + video.currentTime * 1000, Date.now(), source.clockOffsetMs())
    },
    targetLatencySeconds: () => null,
    livePosition() {
      const { seekable } = video
      return isLive && seekable.length > 0 ? seekable.end(seekable.length - 1) : null
    },
    dispose() {
      video.removeEventListener('error', onError)
      video.removeEventListener('resize', events.onChange)
      video.removeAttribute('src')
      video.load()
    },
  }
}
