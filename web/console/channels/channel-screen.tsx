// One channel: OBS settings, stream keys, settings, recordings, what kept publishers out, and its end.
import { useState } from 'preact/hooks'
import { formatMoment } from '../../common/format.ts'
import { Icon } from '../../common/icons.tsx'
import { useClusterState, useConsole } from '../context.ts'
import { Confirm, ErrorNote } from '../parts.tsx'
import { hrefOf } from '../route.ts'
import { useSpeech } from '../speech.ts'
import { StreamFindings } from '../streams/stream-findings.tsx'
import { useResource } from '../use-resource.ts'
import { watchUrl } from '../viewer-url.ts'
import { BanButton } from './ban-button.tsx'
import { BandwidthPanel } from './bandwidth-panel.tsx'
import { LiveBadge } from './channels-screen.tsx'
import { KeysPanel } from './keys-panel.tsx'
import { ObsPanel } from './obs-panel.tsx'
import { RecordingsPanel } from './recordings-panel.tsx'
import { RefusalsPanel } from './refusals-panel.tsx'
import { SettingsForm } from './settings-form.tsx'

export function ChannelScreen({ liveId }: { liveId: string }) {
  const { t, language } = useSpeech()
  const { client } = useConsole()
  const { nodes, streams } = useClusterState()
  const channel = useResource(() => client.channel(liveId), [client, liveId])
  const [isDeleting, setDeleting] = useState(false)
  const [withRecordings, setWithRecordings] = useState(false)
  const url = watchUrl(nodes, liveId)
  const stream = streams.find((one) => one.liveId === liveId)
  const bannedAt = channel.value?.bannedAt ?? null
  return (
    <>
      <p class="back">
        <a href={hrefOf({ screen: 'channels' })}>{t('channel.back')}</a>
      </p>
      <ErrorNote error={channel.error} onRetry={channel.reload} />
      {channel.value && (
        <>
          <div class="heading">
            <h1>{channel.value.title || channel.value.name}</h1>
            <p class="facts">
              <span class="mono">{liveId}</span>
              <LiveBadge isLive={stream !== undefined} isBanned={bannedAt !== null} />
            </p>
            <div class="heading-actions">
              {url && (
                <a class="button" href={url} target="_blank" rel="noreferrer">
                  <Icon name="play" />
                  {t('channel.watch')}
                </a>
              )}
            </div>
          </div>
          {bannedAt !== null && (
            <p class="error-note">
              {t('channel.banned', { moment: formatMoment(bannedAt, language) })}
            </p>
          )}
          {stream && <StreamFindings findings={stream.findings} />}
          <div class="channel-panels">
            <div>
              <ObsPanel liveId={liveId} />
              <BandwidthPanel liveId={liveId} />
              <RecordingsPanel liveId={liveId} />
            </div>
            <div>
              <KeysPanel liveId={liveId} />
              <RefusalsPanel liveId={liveId} />
              <SettingsForm channel={channel.value} onSaved={channel.replace} />
            </div>
          </div>
          <p class="farewell">
            <BanButton channel={channel.value} onChanged={channel.replace} />
            <button type="button" class="button danger" onClick={() => setDeleting(true)}>
              {t('channel.delete')}
            </button>
          </p>
        </>
      )}
      {isDeleting && (
        <Confirm
          title={t('channel.delete-title', { liveId })}
          text={t('channel.delete-text')}
          action={t('channel.delete')}
          isDanger
          onConfirm={async () => {
            await client.deleteChannel(liveId, withRecordings ? 'delete' : 'keep')
            location.hash = hrefOf({ screen: 'channels' })
          }}
          onClose={() => setDeleting(false)}
        >
          <label class="check">
            <input
              type="checkbox"
              checked={withRecordings}
              onChange={(event) => setWithRecordings(event.currentTarget.checked)}
            />
            {t('channel.delete-recordings')}
          </label>
        </Confirm>
      )}
    </>
  )
}
