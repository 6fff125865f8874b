// The bar below the picture: play, sound, live or position, full screen.
import { formatDuration } from '../common/format.ts'
import { Icon, type IconName } from '../common/icons.tsx'
import { useStore } from '../common/use-store.ts'
import { useSpeech } from './speech.ts'
import type { Theatre } from './theatre.ts'

export interface ControlBarProps {
  theatre: Theatre
  isFullscreen: boolean
  onFullscreen(): void
  onKeys(): void
}

/** Behind so much, the live button offers the way back. */
const behindSeconds = 4

export function ControlBar({ theatre, isFullscreen, onFullscreen, onKeys }: ControlBarProps) {
  const { t } = useSpeech()
  const { isPaused, isMuted, volume, programme } = useStore(theatre.view)
  const isReplay = programme.kind === 'replay'
  return (
    <div class="control-bar">
      <IconButton
        icon={isPaused ? 'play' : 'pause'}
        label={t(isPaused ? 'player.play' : 'player.pause')}
        onClick={() => theatre.togglePlay()}
      />
      <IconButton
        icon={isMuted ? 'mute' : 'sound'}
        label={t(isMuted ? 'player.unmute' : 'player.mute')}
        onClick={() => theatre.setMuted(!isMuted)}
      />
      <input
        class="volume"
        type="range"
        min="0"
        max="1"
        step="0.05"
        aria-label={t('player.volume')}
        value={isMuted ? 0 : volume}
        onInput={(event) => theatre.setVolume(Number(event.currentTarget.value))}
      />
      {isReplay ? <Position theatre={theatre} /> : <LiveButton theatre={theatre} />}
      <IconButton
        icon="keyboard"
        label={t('player.keys')}
        onClick={onKeys}
        className="keys-button"
      />
      <IconButton
        icon={isFullscreen ? 'shrink' : 'fullscreen'}
        label={t(isFullscreen ? 'player.fullscreen-leave' : 'player.fullscreen')}
        onClick={onFullscreen}
      />
    </div>
  )
}

function IconButton(props: { icon: IconName; label: string; className?: string; onClick(): void }) {
  return (
    <button
      type="button"
      class={`icon-button ${props.className ?? ''}`}
      aria-label={props.label}
      title={props.label}
      onClick={props.onClick}
    >
      <Icon name={props.icon} />
    </button>
  )
}

function LiveButton({ theatre }: { theatre: Theatre }) {
  const { t } = useSpeech()
  const readout = useStore(theatre.readout)
  const { scene } = useStore(theatre.view)
  const behind = readout.behindSeconds ?? 0
  const isAtLive = scene === 'playing' && behind < behindSeconds
  return (
    <span class="live-slot">
      <button
        type="button"
        class={`live-button ${isAtLive ? 'is-live' : ''}`}
        title={t('player.go-live-hint')}
        disabled={readout.behindSeconds === null}
        onClick={() => theatre.goLive()}
      >
        <span class="dot" aria-hidden="true" />
        {t('player.go-live')}
        {!isAtLive && behind >= behindSeconds && (
          <span class="behind">−{formatDuration(behind * 1000)}</span>
        )}
      </button>
    </span>
  )
}

function Position({ theatre }: { theatre: Theatre }) {
  const { t } = useSpeech()
  const { currentTime, durationSeconds } = useStore(theatre.readout)
  const duration = durationSeconds ?? 0
  const face = `${formatDuration(currentTime * 1000)} / ${formatDuration(duration * 1000)}`
  return (
    <span class="position">
      <input
        type="range"
        min="0"
        max={Math.max(duration, 0.1)}
        step="0.1"
        value={currentTime}
        aria-label={t('player.position')}
        aria-valuetext={face}
        onInput={(event) => theatre.seekTo(Number(event.currentTarget.value))}
      />
      <span class="position-face">{face}</span>
    </span>
  )
}
