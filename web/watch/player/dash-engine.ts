// DASH by dash.js; its chunk is loaded only when somebody chooses DASH.
import { MediaPlayer, type Representation } from 'dashjs'
import { type Choice, nameOf, sortChoices } from './choice.ts'
import type { StartEngine } from './engine.ts'

const normalDelaySegments = 3

export const startDashEngine: StartEngine = (source, events) => {
  const { video, url, isLive, preferred } = source
  const isLowLatency = isLive && source.latencyMode === 'low'
  const player = MediaPlayer().create()
  let isDisposed = false
  let isChosen = preferred === 'auto'

  const toChoice = (representation: Representation): Choice => ({
    id: representation.id,
    height: representation.height,
    framesPerSecond: representation.frameRate || null,
    bitsPerSecond: representation.bandwidth,
  })
  const choices = () => {
    if (isDisposed) return []
    return sortChoices((player.getRepresentationsByType('video') ?? []).map(toChoice))
  }
  const choose = (id: string) => {
    player.updateSettings({ streaming: { abr: { autoSwitchBitrate: { video: id === 'auto' } } } })
    if (id !== 'auto') player.setRepresentationForTypeById('video', id)
  }

  player.updateSettings({
    debug: { logLevel: 0 },
    streaming: {
      abr: { initialBitrate: { video: 3_000 }, limitBitrateByPortal: true },
      // The manifest says what to aim at, and by its early segments that latency is low: then dash.js catches up.
      applyServiceDescription: isLowLatency,
      ...(isLive &&
        !isLowLatency && {
          delay: { liveDelayFragmentCount: normalDelaySegments },
          liveCatchup: { enabled: false },
        }),
      // Joins at once where the media is, whatever the length of the buffer that it would like.
      buffer: { fastSwitchEnabled: true },
      retryAttempts: { MPD: 3 },
      text: { defaultEnabled: false },
    },
  })
  player.initialize()
  // Its own time source is a foreign host; ours is the manifest's UTCTiming, or its Date header.
  player.clearDefaultUTCTimingSources()
  player.on('streamInitialized', () => {
    const wish = isChosen ? undefined : choices().find((choice) => nameOf(choice) === preferred)
    if (wish) choose(wish.id)
    isChosen = true
    events.onChange()
  })
  player.on('qualityChangeRendered', () => events.onChange())
  player.on('error', ({ error }) => {
    if (isDisposed) return
    // dash.js reports only what it could not mend by itself.
    events.onFatal(typeof error === 'object' ? `${error.code} ${error.message}` : String(error))
  })
  player.attachView(video)
  player.setAutoPlay(true)
  player.attachSource(url)

  return {
    protocol: 'dash',
    choices,
    current() {
      if (isDisposed) return null
      const representation = player.getCurrentRepresentationForType('video')
      return representation ? toChoice(representation) : null
    },
    choose,
    latencySeconds() {
      if (!isLive || isDisposed || !player.isReady()) return null
      const seconds = player.getCurrentLiveLatency()
      return Number.isFinite(seconds) && seconds > 0 ? seconds : null
    },
    targetLatencySeconds() {
      if (!isLive || isDisposed || !player.isReady()) return null
      const seconds = player.getTargetLiveDelay()
      return seconds > 0 ? seconds : null
    },
    livePosition() {
      if (!isLive || isDisposed || video.seekable.length === 0) return null
      return Math.max(
        video.seekable.start(0),
        video.seekable.end(video.seekable.length - 1) - player.getTargetLiveDelay(),
      )
    },
    dispose() {
      isDisposed = true
      player.destroy()
    },
  }
}
