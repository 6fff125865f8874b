// The list of keys, as a dialog.
import type { RefObject } from 'preact'
import type { MessageKey } from './messages.ts'
import { useSpeech } from './speech.ts'

const rows: [keys: string[], what: MessageKey][] = [
  [['space', 'K'], 'keys.play'],
  [['M'], 'keys.mute'],
  [['↑', '↓'], 'keys.volume'],
  [['←', '→'], 'keys.seek'],
  [['L'], 'keys.live'],
  [['F'], 'keys.fullscreen'],
  [['P'], 'keys.protocol'],
  [['?'], 'keys.help'],
]

export function KeysDialog({ dialog }: { dialog: RefObject<HTMLDialogElement | null> }) {
  const { t } = useSpeech()
  return (
    <dialog ref={dialog} aria-labelledby="keys-title" class="keys-dialog">
      <h2 id="keys-title">{t('keys.title')}</h2>
      <dl>
        {rows.map(([keys, what]) => (
          <div key={what}>
            <dt>
              {keys.map((key) => (
                <kbd key={key}>{key === 'space' ? t('key.space') : key}</kbd>
              ))}
            </dt>
            <dd>{t(what)}</dd>
          </div>
        ))}
      </dl>
      <form method="dialog" class="actions">
        <button type="submit" class="button">
          {t('keys.close')}
        </button>
      </form>
    </dialog>
  )
}
