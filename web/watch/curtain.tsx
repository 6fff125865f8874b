// What stands on the stage when no picture does: one sentence, and what can be done.
import { Icon } from '../common/icons.tsx'
import type { MessageKey } from './messages.ts'
import { useSpeech } from './speech.ts'
import type { StageScene } from './theatre.ts'

interface Words {
  title: MessageKey
  text?: MessageKey
  /** Something is under way: show that it is. */
  isBusy?: boolean
}

const words: Record<Exclude<StageScene, 'playing'>, Words> = {
  asking: { title: 'scene.asking', isBusy: true },
  starting: { title: 'scene.starting', isBusy: true },
  'catching-up': { title: 'scene.catching-up', isBusy: true },
  waiting: { title: 'scene.waiting', text: 'scene.waiting-text', isBusy: true },
  offline: { title: 'scene.offline', text: 'scene.offline-text' },
  ended: { title: 'scene.ended', text: 'scene.ended-text' },
  'no-such-channel': { title: 'scene.no-such-channel', text: 'scene.no-such-channel-text' },
  unreachable: { title: 'scene.unreachable', text: 'scene.unreachable-text', isBusy: true },
  'replay-gone': { title: 'scene.replay-gone', text: 'scene.replay-gone-text' },
  'replay-over': { title: 'scene.replay-over', text: 'scene.replay-over-text' },
  unsupported: { title: 'scene.unsupported', text: 'scene.unsupported-text' },
}

export interface CurtainProps {
  scene: StageScene
  liveId: string | null
  replayId: string | null
  onReplay(): void
  onRetry(): void
}

export function Curtain({ scene, liveId, replayId, onReplay, onRetry }: CurtainProps) {
  const { t } = useSpeech()
  const shown: Words | undefined =
    scene === 'playing'
      ? undefined
      : liveId === null
        ? { title: 'scene.no-address', text: 'scene.no-address-text' }
        : words[scene]
  const offersReplay = replayId !== null && (scene === 'offline' || scene === 'ended')
  const offersRetry = scene === 'replay-gone' || scene === 'replay-over'
  return (
    <div class={`curtain ${shown ? 'is-drawn' : ''} scene-${scene}`}>
      <div role="status" class="curtain-words">
        {shown?.isBusy && <span class="pulse" aria-hidden="true" />}
        {shown && <p class="curtain-title">{t(shown.title)}</p>}
        {shown?.text && <p class="curtain-text">{t(shown.text, { liveId: liveId ?? '' })}</p>}
      </div>
      {offersReplay && (
        <button type="button" class="button primary" onClick={onReplay}>
          <Icon name="replay" />
          {t('action.replay')}
        </button>
      )}
      {offersRetry && (
        <button type="button" class="button primary" onClick={onRetry}>
          <Icon name="replay" />
          {t(scene === 'replay-over' ? 'action.again' : 'action.retry')}
        </button>
      )}
    </div>
  )
}
