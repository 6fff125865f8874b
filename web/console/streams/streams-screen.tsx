// What is live now, each stream with the path it takes.
import { useState } from 'preact/hooks'
import {
  formatBitrate,
  formatDuration,
  formatHeight,
  formatMoment,
  formatSeconds,
} from '../../common/format.ts'
import { Icon } from '../../common/icons.tsx'
import type { Stream } from '../api/shapes.ts'
import { useClusterState, useConsole } from '../context.ts'
import { audioText, keyframeLimitSeconds, videoText } from '../media-facts.ts'
import { Confirm, Heading } from '../parts.tsx'
import { hrefOf } from '../route.ts'
import { useSpeech } from '../speech.ts'
import { useNow } from '../use-now.ts'
import { watchUrl } from '../viewer-url.ts'
import { StreamFindings } from './stream-findings.tsx'
import { StreamPath } from './stream-path.tsx'

export function StreamsScreen() {
  const { t } = useSpeech()
  const { streams, isLoaded } = useClusterState()
  if (!isLoaded) return <p role="status">{t('state.loading')}…</p>
  return (
    <>
      <Heading title={t('streams.title')} note={t('streams.count', { count: streams.length })} />
      {streams.length === 0 && (
        <div class="empty">
          <h2>{t('streams.none')}</h2>
          <p>{t('streams.none-text')}</p>
          <a class="button primary" href={hrefOf({ screen: 'channels' })}>
            {t('streams.to-channels')}
          </a>
        </div>
      )}
      <ul class="streams">
        {streams.map((stream) => (
          <li key={stream.liveId}>
            <StreamCard stream={stream} />
          </li>
        ))}
      </ul>
    </>
  )
}

function StreamCard({ stream }: { stream: Stream }) {
  const { t, language } = useSpeech()
  const { client } = useConsole()
  const { nodes } = useClusterState()
  const now = useNow()
  const [isEnding, setEnding] = useState(false)
  const { liveId, state, title, startedAt, viewers, peakViewers } = stream
  const url = watchUrl(nodes, liveId) ?? stream.urls?.watch
  const duration = formatDuration(now - Date.parse(startedAt))
  return (
    <article class="stream" aria-labelledby={`stream-${liveId}`}>
      <header>
        <p class="facts">
          <span class={`badge badge-${state}`}>
            <span class="dot" aria-hidden="true" />
            {t(`stream.state.${state}`)}
          </span>
          <span title={t('stream.since-title', { moment: formatMoment(startedAt, language) })}>
            {t('stream.since', { duration })}
          </span>
          <span>
            {t('stream.viewers', { count: viewers })}
            {peakViewers > viewers && ` · ${t('stream.peak', { count: peakViewers })}`}
          </span>
        </p>
        <h2 id={`stream-${liveId}`}>
          <a href={hrefOf({ screen: 'channel', liveId })}>{title || liveId}</a>
          {title && <span class="mono dim">{liveId}</span>}
        </h2>
        <div class="stream-actions">
          {url && (
            <a class="button" href={url} target="_blank" rel="noreferrer">
              <Icon name="play" />
              {t('stream.watch')}
            </a>
          )}
          <button type="button" class="button danger" onClick={() => setEnding(true)}>
            {t('stream.stop')}
          </button>
        </div>
      </header>
      <StreamPath stream={stream} nodes={nodes} />
      <MediaFacts stream={stream} />
      <StreamFindings findings={stream.findings} />
      {isEnding && (
        <Confirm
          title={t('stream.stop-title', { liveId })}
          text={t('stream.stop-text')}
          action={t('stream.stop')}
          isDanger
          onConfirm={() => client.stopStream(liveId)}
          onClose={() => setEnding(false)}
        />
      )}
    </article>
  )
}

function MediaFacts({ stream }: { stream: Stream }) {
  const { t, language } = useSpeech()
  const { video, audio, renditions, epoch, takes, findings } = stream
  const none = t('value.none')
  const interval = video?.keyframeIntervalSeconds ?? null
  const rateControl = findings.find(({ code }) => code === 'rate-control')
  const isLong = interval !== null && interval > keyframeLimitSeconds
  return (
    <dl class="media-facts">
      <div>
        <dt>{t('stream.video')}</dt>
        <dd>{video ? videoText(video, language) : none}</dd>
      </div>
      <div>
        <dt>{t('stream.audio')}</dt>
        <dd>{audio ? audioText(audio, language) : none}</dd>
      </div>
      <div class={isLong ? 'is-warning' : ''}>
        <dt>{t('stream.keyframes')}</dt>
        <dd>{interval === null ? none : formatSeconds(interval, language)}</dd>
      </div>
      <div class={rateControl?.isWarning ? 'is-warning' : ''}>
        <dt>{t('stream.rate-control')}</dt>
        <dd>
          {typeof rateControl?.value === 'string'
            ? t(`stream.rate-control.${rateControl.value}`)
            : none}
        </dd>
      </div>
      <div>
        <dt>{t('stream.epoch')}</dt>
        <dd>
          {epoch}, {takes}
        </dd>
      </div>
      <div class="wide">
        <dt>{t('stream.renditions')}</dt>
        <dd>
          <ul class="renditions">
            {renditions.map(({ name, height, bitsPerSecond }) => (
              <li key={name}>
                {height > 0 ? formatHeight(height) : name}{' '}
                <span class="dim">{formatBitrate(bitsPerSecond, language)}</span>
              </li>
            ))}
            {renditions.length === 0 && none}
          </ul>
        </dd>
      </div>
    </dl>
  )
}
