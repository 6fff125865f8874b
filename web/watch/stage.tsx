// The picture, the curtain before it and the bar below it.
import type { RefObject } from 'preact'
import { useEffect, useRef, useState } from 'preact/hooks'
import { Icon } from '../common/icons.tsx'
import { useStore } from '../common/use-store.ts'
import { ControlBar } from './control-bar.tsx'
import { Curtain } from './curtain.tsx'
import { useSpeech } from './speech.ts'
import type { Theatre } from './theatre.ts'

export interface StageProps {
  theatre: Theatre
  liveId: string
  stage: RefObject<HTMLElement | null>
  onReplay(replayId: string): void
  onFullscreen(): void
  onKeys(): void
}

const idleAfterMs = 3_000

export function Stage({ theatre, liveId, stage, onReplay, onFullscreen, onKeys }: StageProps) {
  const { t } = useSpeech()
  const view = useStore(theatre.view)
  const video = useRef<HTMLVideoElement>(null)
  const isFullscreen = useFullscreen(stage)
  const isIdle = useIdle(stage)
  const replayId = view.status?.replayId ?? null
  const isPlaying = view.scene === 'playing'

  useEffect(() => theatre.attach(video.current!), [theatre])

  const className = `stage ${isFullscreen ? 'is-fullscreen' : ''} ${isIdle && isPlaying && !view.isPaused ? 'is-idle' : ''}`
  return (
    <section class={className} ref={stage} id="player" aria-label={t('player.label')} tabIndex={-1}>
      <div class="picture">
        {/* biome-ignore lint/a11y/useMediaCaption: captions come inside the stream, where it has any. */}
        <video
          ref={video}
          playsInline
          onClick={() => theatre.togglePlay()}
          aria-label={view.status?.title || liveId}
        />
        <Curtain
          scene={view.scene}
          liveId={liveId}
          replayId={replayId}
          onReplay={() => replayId && onReplay(replayId)}
          onRetry={() => theatre.retry()}
        />
        {view.needsTap && (
          <button type="button" class="big-button" onClick={() => theatre.togglePlay()}>
            <Icon name="play" />
            {t('player.tap')}
          </button>
        )}
        {!view.needsTap && isPlaying && view.isMuted && (
          <button type="button" class="big-button corner" onClick={() => theatre.setMuted(false)}>
            <Icon name="mute" />
            {t('player.unmute-big')}
          </button>
        )}
      </div>
      <ControlBar
        theatre={theatre}
        isFullscreen={isFullscreen}
        onFullscreen={onFullscreen}
        onKeys={onKeys}
      />
    </section>
  )
}

function useFullscreen(stage: RefObject<HTMLElement | null>): boolean {
  const [isFullscreen, setFullscreen] = useState(false)
  useEffect(() => {
    const read = () => setFullscreen(document.fullscreenElement === stage.current)
    document.addEventListener('fullscreenchange', read)
    return () => document.removeEventListener('fullscreenchange', read)
  }, [stage])
  return isFullscreen
}

/** True when nobody has touched anything for a while: in full screen the bar may go then. */
function useIdle(stage: RefObject<HTMLElement | null>): boolean {
  const [isIdle, setIdle] = useState(false)
  useEffect(() => {
    const element = stage.current
    let timer = 0
    const touch = () => {
      setIdle(false)
      clearTimeout(timer)
      timer = window.setTimeout(() => setIdle(true), idleAfterMs)
    }
    const events = ['pointermove', 'pointerdown', 'keydown', 'focusin'] as const
    for (const name of events) element?.addEventListener(name, touch)
    touch()
    return () => {
      clearTimeout(timer)
      for (const name of events) element?.removeEventListener(name, touch)
    }
  }, [stage])
  return isIdle
}
