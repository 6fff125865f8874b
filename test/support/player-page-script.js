// Runs in the browser: one of three players on a bare video element, and what is seen of it. player-page.ts
// serves it and speaks to it as `barePlayer`.
//
// "Plain" is a player without low latency; "low latency" sets only what the player's own documentation asks
// for, so that what is measured is the server.

const video = document.querySelector('video')
const errors = []
const sampleEveryMs = 100
/** As long as a viewer would call it a stall. */
const stallAfterMs = 300
const longestStepSeconds = 1

const players = {
  'hls.js'({ url, lowLatency }) {
    const { Hls } = globalThis
    const hls = new Hls({
      lowLatencyMode: lowLatency,
      // The default of 1 never catches up.
      maxLiveSyncPlaybackRate: lowLatency ? 1.5 : 1,
      abrEwmaDefaultEstimate: 5_000_000,
    })
    hls.on(Hls.Events.ERROR, (_event, { type, details, fatal, reason }) => {
      note(`${type} ${details} ${reason ?? ''}`, fatal)
      if (fatal && type === Hls.ErrorTypes.MEDIA_ERROR) hls.recoverMediaError()
      else if (fatal) hls.startLoad()
    })
    hls.loadSource(url)
    hls.attachMedia(video)
    return {
      latencySeconds: () => (hls.latency > 0 ? hls.latency : null),
      rendition: () => hls.levels[hls.currentLevel]?.height ?? null,
      version: Hls.version,
    }
  },
  'dash.js'({ url, lowLatency }) {
    const player = globalThis.dashjs.MediaPlayer().create()
    player.updateSettings({
      debug: { logLevel: 0 },
      streaming: {
        applyServiceDescription: lowLatency,
        ...(lowLatency && { liveCatchup: { enabled: true } }),
        abr: { initialBitrate: { video: 5_000 } },
      },
    })
    player.initialize()
    // Its own source is a foreign host; the manifest names one of ours.
    player.clearDefaultUTCTimingSources()
    player.on('error', ({ error }) => {
      note(typeof error === 'object' ? `${error.code} ${error.message}` : String(error), true)
    })
    player.attachView(video)
    player.setAutoPlay(true)
    player.attachSource(url)
    return {
      latencySeconds() {
        const seconds = player.isReady() ? player.getCurrentLiveLatency() : Number.NaN
        return seconds > 0 ? seconds : null
      },
      rendition: () => player.getCurrentRepresentationForType('video')?.height ?? null,
      version: player.getVersion(),
    }
  },
  shaka({ url, lowLatency }) {
    const { shaka } = globalThis
    const player = new shaka.Player()
    player.configure({
      streaming: {
        lowLatencyMode: lowLatency,
        ...(lowLatency && {
          liveSync: { enabled: true },
          // Left alone it asks for what never was until that has left the window.
          failureCallback({ code }) {
            // It waits for what comes behind a gap by itself, and loses its way if it is moved meanwhile.
            if (code === shaka.util.Error.Code.SEGMENT_MISSING) return
            player.goToLive()
            player.retryStreaming(0.5)
          },
        }),
      },
      abr: { defaultBandwidthEstimate: 5_000_000 },
    })
    player.addEventListener('error', ({ detail }) => {
      note(`${detail.code} ${JSON.stringify(detail.data ?? [])}`, detail.severity === 2)
    })
    const failed = (error) => note(`${error.code ?? error}`, true)
    player.attach(video).then(() => player.load(url).catch(failed), failed)
    return {
      latencySeconds() {
        const shown = player.getPlayheadTimeAsDate()
        return shown ? (Date.now() - shown.getTime()) / 1000 : null
      },
      rendition: () => player.getVariantTracks().find(({ active }) => active)?.height ?? null,
      version: shaka.Player.version,
    }
  },
}

let running
let stalls = 0
let stalledMs = 0
let waitings = 0
let reloads = 0
let playedSeconds = 0
let last = { at: performance.now(), time: 0 }
let hasStarted = false
let isStalled = false

function note(text, isFatal) {
  errors.push({ text: text.slice(0, 500), isFatal, atMs: Date.now() })
}

function watch() {
  const at = performance.now()
  const time = video.currentTime
  if (time > last.time && !video.seeking) {
    if (isStalled) stalledMs += at - last.at
    // A jump, to the place to join or over a hole, is not playing.
    if (time - last.time < longestStepSeconds) {
      hasStarted ||= video.readyState >= 3
      playedSeconds += time - last.time
    }
    isStalled = false
    last = { at, time }
  } else if (time < last.time) {
    last = { at: last.at, time }
  } else if (hasStarted && !isStalled && at - last.at > stallAfterMs) {
    isStalled = true
    stalls++
  }
}

globalThis.barePlayer = {
  start(options) {
    setInterval(watch, sampleEveryMs)
    video.addEventListener('waiting', () => {
      if (hasStarted) waitings++
    })
    video.addEventListener('emptied', () => {
      if (hasStarted) reloads++
    })
    video.addEventListener('error', () => note(`video ${video.error?.message}`, true))
    running = players[options.engine](options)
  },
  state() {
    const ahead = Array.from({ length: video.buffered.length }, (_, i) => [
      video.buffered.start(i),
      video.buffered.end(i),
    ]).find(([from, to]) => from <= video.currentTime && video.currentTime <= to)
    return {
      currentTime: video.currentTime,
      playedSeconds,
      framesShown: video.getVideoPlaybackQuality().totalVideoFrames,
      bufferedAheadSeconds: ahead ? ahead[1] - video.currentTime : 0,
      playbackRate: video.playbackRate,
      latencySeconds: running?.latencySeconds() ?? null,
      rendition: running?.rendition() ?? null,
      version: running?.version ?? null,
      hasStarted,
      isStalled,
      stalls,
      stalledMs: stalledMs + (isStalled ? performance.now() - last.at : 0),
      waitings,
      reloads,
      errors,
    }
  },
}
