// HLS by hls.js over Media Source Extensions.
import Hls, { type ErrorData, type HlsConfig, type Level } from 'hls.js'
// A worker of our own origin needs no blob: in the content security policy.
import workerUrl from 'hls.js/dist/hls.worker.js?url'
import { type Choice, joinDistanceSeconds, latencyFromDate, nameOf, sortChoices } from './choice.ts'
import type { StartEngine } from './engine.ts'

export function isHlsEngineSupported(): boolean {
  return Hls.isSupported()
}

// hls.js asks to be rescued this often before we call it fatal.
const mediaRescues = 2
/** Behind the place to join at the start by more than this, the picture jumps there. */
const longestLagSeconds = 2
/** Of a picture that catches up: faster would be heard. */
const catchUpRate = 1.1

export const startHlsEngine: StartEngine = (source, events) => {
  const { video, url, isLive, preferred } = source
  const isLowLatency = isLive && source.latencyMode === 'low'
  const config: Partial<HlsConfig> = {
    workerPath: workerUrl,
    // A live page keeps little behind it; a replay may be scrubbed.
    backBufferLength: isLive ? 30 : 120,
    capLevelToPlayerSize: preferred === 'auto',
    // The page shows itself; a start in the middle of the ladder is a picture soonest.
    startLevel: -1,
    abrEwmaDefaultEstimate: 3_000_000,
    liveDurationInfinity: isLive,
    // No liveSyncDuration: it would override PART-HOLD-BACK.
    lowLatencyMode: isLowLatency,
    maxLiveSyncPlaybackRate: isLowLatency ? catchUpRate : 1,
  }
  const hls = new Hls(config)
  let rescues = 0
  let isDisposed = false

  const toChoice = (level: Level, index: number): Choice => ({
    id: String(index),
    height: level.height,
    framesPerSecond: level.frameRate || null,
    bitsPerSecond: level.averageBitrate || level.bitrate,
  })
  const choices = () => sortChoices(hls.levels.filter(({ height }) => height > 0).map(toChoice))

  hls.on(Hls.Events.MANIFEST_PARSED, () => {
    const wish = choices().find((choice) => nameOf(choice) === preferred)
    if (wish) hls.nextLevel = Number(wish.id)
    events.onChange()
  })
  hls.on(Hls.Events.LEVELS_UPDATED, events.onChange)
  // A playlist of parts says itself where to join. Without them the default is the oldest segment of the playlist,
  // which leaves it while it is fetched: our target is nearer.
  hls.once(Hls.Events.LEVEL_UPDATED, (_event, { details }) => {
    if (!details.live) return
    if (!isLowLatency || details.partHoldBack === 0) {
      const longest = Math.max(...details.fragments.map(({ duration }) => duration))
      hls.targetLatency = joinDistanceSeconds(details.targetduration, longest)
      hls.startLoad(Math.max(details.fragmentStart, details.edge - hls.targetLatency))
    }
    // A segment that was under way already may still have set an earlier start.
    video.addEventListener('playing', catchUp, { once: true })
  })
  const catchUp = () => {
    const position = isDisposed ? null : hls.liveSyncPosition
    if (position !== null && position - video.currentTime > longestLagSeconds) {
      video.currentTime = position
    }
  }
  // Where the publisher was away there are gaps. hls.js waits before them for longer than the viewer should.
  let hasPlayed = false
  const onPlaying = () => {
    hasPlayed = true
  }
  video.addEventListener('playing', onPlaying)
  hls.on(Hls.Events.LEVEL_UPDATED, (_event, { details }) => {
    const isStill = hasPlayed && !video.paused && video.readyState < video.HAVE_FUTURE_DATA
    const position = isStill && details.live ? hls.liveSyncPosition : null
    if (position === null || position - video.currentTime < longestLagSeconds) return
    const listed = details.fragmentHint
      ? [...details.fragments, details.fragmentHint]
      : details.fragments
    const ahead = listed.filter(({ end }) => end > video.currentTime)
    const there = ahead.find(({ end }) => end > position)
    if (there && !there.gap && ahead.some(({ gap, start }) => gap && start < position)) {
      video.currentTime = Math.max(position, there.start)
    }
  })
  hls.on(Hls.Events.LEVEL_SWITCHED, events.onChange)
  hls.on(Hls.Events.ERROR, (_event, data: ErrorData) => {
    if (!data.fatal || isDisposed) return
    if (data.type === Hls.ErrorTypes.MEDIA_ERROR && rescues < mediaRescues) {
      rescues++
      hls.recoverMediaError()
      return
    }
    events.onFatal(data.details)
  })
  hls.loadSource(url)
  hls.attachMedia(video)

  return {
    protocol: 'hls',
    choices,
    current() {
      const level = hls.levels[hls.currentLevel]
      return level ? toChoice(level, hls.currentLevel) : null
    },
    choose(id) {
      hls.config.capLevelToPlayerSize = id === 'auto'
      hls.capLevelToPlayerSize = id === 'auto'
      // nextLevel swaps at the next fragment: no hole in the picture.
      hls.nextLevel = id === 'auto' ? -1 : Number(id)
    },
    latencySeconds() {
      if (!isLive) return null
      const playing = hls.playingDate
      const byDate =
        playing && latencyFromDate(playing.getTime(), Date.now(), source.clockOffsetMs())
      return byDate || (hls.latency > 0 ? hls.latency : null)
    },
    targetLatencySeconds: () => (isLive ? hls.targetLatency : null),
    livePosition: () => (isLive ? hls.liveSyncPosition : null),
    dispose() {
      isDisposed = true
      video.removeEventListener('playing', catchUp)
      video.removeEventListener('playing', onPlaying)
      hls.destroy()
    },
  }
}
