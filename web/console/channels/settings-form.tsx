// What an owner can change about a channel.
import { useState } from 'preact/hooks'
import type { Channel, ChannelSettings } from '../api/shapes.ts'
import { useConsole } from '../context.ts'
import { ErrorNote, Field } from '../parts.tsx'
import { useSpeech } from '../speech.ts'
import { useResource } from '../use-resource.ts'

export function SettingsForm(props: { channel: Channel; onSaved(channel: Channel): void }) {
  const { t } = useSpeech()
  const { client } = useConsole()
  const topics = useResource(() => client.topics(), [client])
  const { liveId, name, title, description, topic, record } = props.channel
  const [draft, setDraft] = useState<ChannelSettings>({ name, title, description, topic, record })
  const [state, setState] = useState<'idle' | 'busy' | 'saved'>('idle')
  const [error, setError] = useState<unknown>()
  const change = (part: Partial<ChannelSettings>) => {
    setDraft({ ...draft, ...part })
    setState('idle')
  }
  const submit = async (event: Event) => {
    event.preventDefault()
    setState('busy')
    setError(undefined)
    try {
      props.onSaved(await client.updateChannel(liveId, draft))
      setState('saved')
    } catch (err) {
      setError(err)
      setState('idle')
    }
  }
  return (
    <section class="panel" aria-labelledby="settings-title">
      <h2 id="settings-title">{t('channel.settings')}</h2>
      <form onSubmit={submit}>
        <Field label={t('channels.name')}>
          {({ id }) => (
            <input
              id={id}
              required
              maxLength={120}
              value={draft.name}
              onInput={(event) => change({ name: event.currentTarget.value })}
            />
          )}
        </Field>
        <Field label={t('channel.title')}>
          {({ id }) => (
            <input
              id={id}
              maxLength={200}
              value={draft.title}
              onInput={(event) => change({ title: event.currentTarget.value })}
            />
          )}
        </Field>
        <Field label={t('channel.description')}>
          {({ id }) => (
            <textarea
              id={id}
              rows={4}
              maxLength={2048}
              value={draft.description}
              onInput={(event) => change({ description: event.currentTarget.value })}
            />
          )}
        </Field>
        <Field label={t('channel.topic')}>
          {({ id }) => (
            <select
              id={id}
              value={draft.topic ?? ''}
              onChange={(event) => change({ topic: event.currentTarget.value || null })}
            >
              <option value="">{t('channel.topic-none')}</option>
              {topics.value?.map((choice) => (
                <option key={choice.id} value={choice.id}>
                  {choice.name}
                </option>
              ))}
            </select>
          )}
        </Field>
        <label class="check">
          <input
            type="checkbox"
            checked={draft.record}
            onChange={(event) => change({ record: event.currentTarget.checked })}
          />
          {t('channel.record')}
        </label>
        <ErrorNote error={error ?? topics.error} />
        <div class="actions">
          <span role="status">{state === 'saved' && t('action.saved')}</span>
          <button type="submit" class="button primary" disabled={state === 'busy'}>
            {t('action.save')}
          </button>
        </div>
      </form>
    </section>
  )
}
