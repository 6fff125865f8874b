// The replays of a channel.
import { useState } from 'preact/hooks'
import { formatBytes, formatDuration, formatMoment } from '../../common/format.ts'
import { Icon } from '../../common/icons.tsx'
import type { Recording } from '../api/shapes.ts'
import { useClusterState, useConsole } from '../context.ts'
import { Confirm, ErrorNote } from '../parts.tsx'
import { useSpeech } from '../speech.ts'
import { useResource } from '../use-resource.ts'
import { watchUrl } from '../viewer-url.ts'

export function RecordingsPanel({ liveId }: { liveId: string }) {
  const { t, language } = useSpeech()
  const { client } = useConsole()
  const { nodes, streams } = useClusterState()
  const isLive = streams.some((stream) => stream.liveId === liveId)
  // A show that begins or ends changes the list.
  const recordings = useResource(() => client.recordings(liveId), [client, liveId, isLive])
  const [deleting, setDeleting] = useState<Recording>()
  return (
    <section class="panel" aria-labelledby="recordings-title">
      <h2 id="recordings-title">{t('recordings.title')}</h2>
      <ErrorNote error={recordings.error} onRetry={recordings.reload} />
      {recordings.value?.length === 0 && <p class="dim">{t('recordings.none')}</p>}
      <ul class="rows">
        {recordings.value?.map((recording) => {
          const url = watchUrl(nodes, liveId, recording.id)
          return (
            <li key={recording.id}>
              <div>
                <strong>{recording.title || t('recordings.untitled')}</strong>
                <small>
                  {[
                    formatMoment(recording.startedAt, language),
                    formatDuration(recording.durationMs),
                    formatBytes(recording.sizeBytes, language),
                  ].join(' · ')}
                </small>
              </div>
              {url && (
                <a class="button" href={url} target="_blank" rel="noreferrer">
                  <Icon name="play" />
                  {t('recordings.watch')}
                </a>
              )}
              <button type="button" class="button danger" onClick={() => setDeleting(recording)}>
                {t('recordings.delete')}
              </button>
            </li>
          )
        })}
      </ul>
      {deleting && (
        <Confirm
          title={t('recordings.delete-title')}
          text={t('recordings.delete-text', {
            title: deleting.title || t('recordings.untitled'),
            moment: formatMoment(deleting.startedAt, language),
          })}
          action={t('recordings.delete')}
          isDanger
          onConfirm={async () => {
            await client.deleteRecording(deleting.id)
            await recordings.reload()
          }}
          onClose={() => setDeleting(undefined)}
        />
      )}
    </section>
  )
}
