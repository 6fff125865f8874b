// The stream keys of a channel: made, replaced, revoked.
import { useState } from 'preact/hooks'
import { formatMoment } from '../../common/format.ts'
import type { StreamKey } from '../api/shapes.ts'
import { useConsole } from '../context.ts'
import { Confirm, Dialog, ErrorNote, Field } from '../parts.tsx'
import { useSpeech } from '../speech.ts'
import { useResource } from '../use-resource.ts'
import { ShownKey } from './shown-key.tsx'

type Asking = { what: 'new' } | { what: 'rotate' } | { what: 'revoke'; key: StreamKey }

export function KeysPanel({ liveId }: { liveId: string }) {
  const { t } = useSpeech()
  const { client, freshKeys } = useConsole()
  const keys = useResource(() => client.keys(liveId), [client, liveId])
  const [asking, setAsking] = useState<Asking>()
  const [shownKey, setShownKey] = useState<string>()
  const close = () => setAsking(undefined)
  const made = ({ streamKey }: { streamKey: string }) => {
    freshKeys.update((all) => new Map(all).set(liveId, streamKey))
    setShownKey(streamKey)
    void keys.reload()
  }
  return (
    <section class="panel" aria-labelledby="keys-title">
      <h2 id="keys-title">{t('keys.title')}</h2>
      <p class="dim">{t('keys.text')}</p>
      <ErrorNote error={keys.error} onRetry={keys.reload} />
      <ul class="rows">
        {keys.value?.map((key) => (
          <KeyRow
            key={key.id}
            streamKey={key}
            onRevoke={() => setAsking({ what: 'revoke', key })}
          />
        ))}
      </ul>
      <div class="actions">
        <button type="button" class="button" onClick={() => setAsking({ what: 'rotate' })}>
          {t('keys.rotate')}
        </button>
        <button type="button" class="button" onClick={() => setAsking({ what: 'new' })}>
          {t('keys.new')}
        </button>
      </div>
      {asking?.what === 'new' && (
        <NewKey
          onClose={close}
          onSubmit={async (label) => made(await client.createKey(liveId, label))}
        />
      )}
      {asking?.what === 'rotate' && (
        <Confirm
          title={t('keys.rotate-title', { liveId })}
          text={t('keys.rotate-text')}
          action={t('keys.rotate')}
          isDanger
          onConfirm={async () => made(await client.rotateKeys(liveId))}
          onClose={close}
        />
      )}
      {asking?.what === 'revoke' && (
        <Confirm
          title={t('keys.revoke-title', { label: asking.key.label || t('keys.no-label') })}
          text={t('keys.revoke-text')}
          action={t('keys.revoke')}
          isDanger
          onConfirm={async () => {
            await client.revokeKey(liveId, asking.key.id)
            await keys.reload()
          }}
          onClose={close}
        />
      )}
      {shownKey && <ShownKey streamKey={shownKey} onClose={() => setShownKey(undefined)} />}
    </section>
  )
}

function KeyRow({ streamKey, onRevoke }: { streamKey: StreamKey; onRevoke(): void }) {
  const { t, language } = useSpeech()
  const { label, createdAt, lastUsedAt, revokedAt, expiresAt } = streamKey
  const moment = (at: string) => ({ moment: formatMoment(at, language) })
  const isExpired = expiresAt !== null && Date.parse(expiresAt) < Date.now()
  const facts = revokedAt
    ? t('keys.revoked', moment(revokedAt))
    : isExpired
      ? t('keys.expired', moment(expiresAt))
      : `${t('keys.made', moment(createdAt))} · ${
          lastUsedAt ? t('keys.used', moment(lastUsedAt)) : t('keys.unused')
        }`
  return (
    <li class={revokedAt || isExpired ? 'is-away' : ''}>
      <div>
        <strong>{label || t('keys.no-label')}</strong>
        <small>{facts}</small>
      </div>
      {!revokedAt && (
        <button type="button" class="button danger" onClick={onRevoke}>
          {t('keys.revoke')}
        </button>
      )}
    </li>
  )
}

function NewKey(props: { onClose(): void; onSubmit(label: string): Promise<void> }) {
  const { t } = useSpeech()
  const [label, setLabel] = useState('')
  const [isBusy, setBusy] = useState(false)
  const [error, setError] = useState<unknown>()
  const submit = async (event: Event) => {
    event.preventDefault()
    setBusy(true)
    try {
      await props.onSubmit(label.trim())
      props.onClose()
    } catch (err) {
      setError(err)
      setBusy(false)
    }
  }
  return (
    <Dialog title={t('keys.new')} onClose={props.onClose}>
      <form onSubmit={submit}>
        <Field label={t('keys.label')} hint={t('keys.label-hint')}>
          {({ id, describedBy }) => (
            <input
              id={id}
              aria-describedby={describedBy}
              maxLength={80}
              value={label}
              onInput={(event) => setLabel(event.currentTarget.value)}
            />
          )}
        </Field>
        <ErrorNote error={error} />
        <div class="actions">
          <button type="button" class="button" onClick={props.onClose}>
            {t('action.cancel')}
          </button>
          <button type="submit" class="button primary" disabled={isBusy}>
            {t('keys.new')}
          </button>
        </div>
      </form>
    </Dialog>
  )
}
