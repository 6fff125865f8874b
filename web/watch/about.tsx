// What is on: state, title, since when, how many watch.
import { useEffect, useState } from 'preact/hooks'
import type { ChannelStatus } from '../../common/contract/channel.ts'
import { formatDuration } from '../common/format.ts'
import { useSpeech } from './speech.ts'

export interface AboutProps {
  liveId: string
  status: ChannelStatus | null
  isReplay: boolean
  clockOffsetMs(): number
  onWatchLive(): void
}

export function About({ liveId, status, isReplay, clockOffsetMs, onWatchLive }: AboutProps) {
  const { t } = useSpeech()
  const state = status?.state ?? 'offline'
  const isOn = state !== 'offline'
  return (
    <section class="about" aria-labelledby="title">
      <p class="facts">
        <span class={`badge badge-${isReplay ? 'replay' : state}`}>
          <span class="dot" aria-hidden="true" />
          {t(isReplay ? 'badge.replay' : `badge.${state}`)}
        </span>
        {status?.topic && <span>{status.topic}</span>}
        {isOn && !isReplay && status?.startedAt && (
          <OnFor startedAt={status.startedAt} clockOffsetMs={clockOffsetMs} />
        )}
        {isOn && !isReplay && status && (
          <span>{t('about.viewers', { count: status.viewers })}</span>
        )}
      </p>
      <h1 id="title">{status?.title || liveId}</h1>
      {status?.description && <p class="description">{status.description}</p>}
      {isReplay && state === 'live' && (
        <p class="live-now">
          {t('about.live-now')}{' '}
          <button type="button" class="button" onClick={onWatchLive}>
            {t('about.watch-live')}
          </button>
        </p>
      )}
    </section>
  )
}

function OnFor(props: { startedAt: string; clockOffsetMs(): number }) {
  const { t } = useSpeech()
  const [now, setNow] = useState(Date.now())
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 1000)
    return () => clearInterval(timer)
  }, [])
  const ms = now + props.clockOffsetMs() - Date.parse(props.startedAt)
  if (Number.isNaN(ms)) return null
  return <span class="on-for">{t('about.on-for', { duration: formatDuration(ms) })}</span>
}
