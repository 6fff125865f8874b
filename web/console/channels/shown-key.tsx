// The one moment in which a stream key can be seen.
import { CopyButton, Dialog } from '../parts.tsx'
import { useSpeech } from '../speech.ts'

export function ShownKey({ streamKey, onClose }: { streamKey: string; onClose(): void }) {
  const { t } = useSpeech()
  return (
    <Dialog title={t('keys.shown-title')} onClose={onClose}>
      <p>{t('keys.shown-text')}</p>
      <p class="shown-key">
        <code>{streamKey}</code>
        <CopyButton text={streamKey} />
      </p>
      <div class="actions">
        <button type="button" class="button primary" onClick={onClose}>
          {t('action.close')}
        </button>
      </div>
    </Dialog>
  )
}
