// All channels, and making a new one.
import { useState } from 'preact/hooks'
import { formatMoment } from '../../common/format.ts'
import type { Channel } from '../api/shapes.ts'
import { useClusterState, useConsole } from '../context.ts'
import { Dialog, ErrorNote, Field, Heading } from '../parts.tsx'
import { hrefOf } from '../route.ts'
import { useSpeech } from '../speech.ts'
import { useResource } from '../use-resource.ts'
import { ShownKey } from './shown-key.tsx'

const liveIdPattern = /^[a-z0-9][a-z0-9_-]{0,62}$/

export function ChannelsScreen() {
  const { t, language } = useSpeech()
  const { client } = useConsole()
  const { streams } = useClusterState()
  const live = new Set(streams.map(({ liveId }) => liveId))
  const { value: channels, error, reload } = useResource(() => client.channels(), [client])
  const [isCreating, setCreating] = useState(false)
  return (
    <>
      <Heading
        title={t('channels.title')}
        {...(channels && { note: t('channels.count', { count: channels.length }) })}
      >
        <button type="button" class="button primary" onClick={() => setCreating(true)}>
          {t('channels.new')}
        </button>
      </Heading>
      <ErrorNote error={error} onRetry={reload} />
      {!channels && !error && <p role="status">{t('state.loading')}…</p>}
      {channels?.length === 0 && <p class="empty">{t('channels.none')}</p>}
      {channels && channels.length > 0 && (
        <table class="table">
          <thead>
            <tr>
              <th scope="col">{t('channels.live-id')}</th>
              <th scope="col">{t('channels.name')}</th>
              <th scope="col">{t('channels.state')}</th>
              <th scope="col">{t('channels.recorded')}</th>
              <th scope="col">{t('channels.created')}</th>
            </tr>
          </thead>
          <tbody>
            {channels.map((channel) => (
              <tr key={channel.id}>
                <th scope="row" class="mono">
                  <a href={hrefOf({ screen: 'channel', liveId: channel.liveId })}>
                    {channel.liveId}
                  </a>
                </th>
                <td data-label={t('channels.name')}>{channel.title || channel.name}</td>
                <td data-label={t('channels.state')}>
                  <LiveBadge
                    isLive={live.has(channel.liveId)}
                    isBanned={channel.bannedAt !== null}
                  />
                </td>
                <td data-label={t('channels.recorded')}>
                  {t(channel.record ? 'value.yes' : 'value.no')}
                </td>
                <td data-label={t('channels.created')}>
                  {formatMoment(channel.createdAt, language)}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      {isCreating && (
        <CreateChannel
          onClose={() => {
            setCreating(false)
            void reload()
          }}
        />
      )}
    </>
  )
}

export function LiveBadge({ isLive, isBanned }: { isLive: boolean; isBanned: boolean }) {
  const { t } = useSpeech()
  const state = isLive ? 'live' : isBanned ? 'banned' : 'offline'
  return (
    <span class={`badge badge-${state}`}>
      <span class="dot" aria-hidden="true" />
      {t(`channels.${state}`)}
    </span>
  )
}

function CreateChannel({ onClose }: { onClose(): void }) {
  const { t } = useSpeech()
  const { client, freshKeys } = useConsole()
  const [liveId, setLiveId] = useState('')
  const [name, setName] = useState('')
  const [record, setRecord] = useState(true)
  const [isOdd, setOdd] = useState(false)
  const [isBusy, setBusy] = useState(false)
  const [error, setError] = useState<unknown>()
  const [made, setMade] = useState<Channel & { streamKey: string }>()

  const submit = async (event: Event) => {
    event.preventDefault()
    const isBad = liveId !== '' && !liveIdPattern.test(liveId)
    setOdd(isBad)
    setError(undefined)
    if (isBad) return
    setBusy(true)
    try {
      const channel = await client.createChannel({
        record,
        ...(liveId !== '' && { liveId }),
        ...(name.trim() !== '' && { name: name.trim() }),
      })
      freshKeys.update((keys) => new Map(keys).set(channel.liveId, channel.streamKey))
      setMade(channel)
    } catch (err) {
      setError(err)
    }
    setBusy(false)
  }

  if (made) {
    return (
      <ShownKey
        streamKey={made.streamKey}
        onClose={() => {
          onClose()
          location.hash = hrefOf({ screen: 'channel', liveId: made.liveId })
        }}
      />
    )
  }
  return (
    <Dialog title={t('channels.new')} onClose={onClose}>
      <form onSubmit={submit} noValidate>
        <Field
          label={t('channels.live-id')}
          hint={t('channels.live-id-hint')}
          error={isOdd ? t('channels.live-id-bad') : undefined}
        >
          {({ id, describedBy }) => (
            <input
              id={id}
              aria-describedby={describedBy}
              autocapitalize="off"
              autocomplete="off"
              spellcheck={false}
              maxLength={63}
              value={liveId}
              onInput={(event) => setLiveId(event.currentTarget.value)}
            />
          )}
        </Field>
        <Field label={t('channels.name')}>
          {({ id }) => (
            <input
              id={id}
              maxLength={120}
              value={name}
              onInput={(event) => setName(event.currentTarget.value)}
            />
          )}
        </Field>
        <label class="check">
          <input
            type="checkbox"
            checked={record}
            onChange={(event) => setRecord(event.currentTarget.checked)}
          />
          {t('channel.record')}
        </label>
        <ErrorNote error={error} />
        <div class="actions">
          <button type="button" class="button" onClick={onClose}>
            {t('action.cancel')}
          </button>
          <button type="submit" class="button primary" disabled={isBusy}>
            {t('channels.create')}
          </button>
        </div>
      </form>
    </Dialog>
  )
}
