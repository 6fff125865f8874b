// How to try a line without going live, and what the tries came to.
import type { BandwidthMeasure } from '../../../common/contract/bandwidth-test.ts'
import { formatBitrate, formatDuration, formatMoment, formatSeconds } from '../../common/format.ts'
import type { BandwidthTest } from '../api/shapes.ts'
import { useConsole } from '../context.ts'
import { ErrorNote } from '../parts.tsx'
import { useSpeech } from '../speech.ts'
import { useResource } from '../use-resource.ts'

const everyMs = 5_000

export function BandwidthPanel({ liveId }: { liveId: string }) {
  const { t } = useSpeech()
  const { client } = useConsole()
  const tests = useResource(() => client.bandwidthTests(liveId), [client, liveId], everyMs)
  return (
    <section class="panel" aria-labelledby="bandwidth-title">
      <h2 id="bandwidth-title">{t('bandwidth.title')}</h2>
      <p class="dim">{t('bandwidth.text')}</p>
      <ErrorNote error={tests.error} onRetry={tests.reload} />
      <ul class="rows">
        {tests.value?.map((test) => (
          <TestRow key={test.id} test={test} />
        ))}
      </ul>
    </section>
  )
}

function TestRow({ test }: { test: BandwidthTest }) {
  const { t, language } = useSpeech()
  const { id, state, end, startedAt, pop, gateway, atPop, atGateway } = test
  const measured = atPop ?? atGateway
  const facts = [
    formatMoment(startedAt, language),
    state === 'done' ? formatDuration(measured?.durationMs ?? 0) : t(`bandwidth.${state}`),
    ...(end === 'path-lost' ? [t('bandwidth.path-lost')] : []),
  ]
  return (
    <li>
      <div>
        {pop && atPop && <Hop node={pop.id} measure={atPop} />}
        {atGateway && <Hop node={gateway.id} measure={atGateway} />}
        <small>
          {facts.join(' · ')} · <code>{id}</code>
        </small>
      </div>
    </li>
  )
}

function Hop({ node, measure }: { node: string; measure: BandwidthMeasure }) {
  const { t, language } = useSpeech()
  const { medianBitsPerSecond, lowestBitsPerSecond, stalls, longestStallMs } = measure
  if (medianBitsPerSecond === null || lowestBitsPerSecond === null) {
    return <strong>{t('bandwidth.too-short', { node })}</strong>
  }
  const median = formatBitrate(medianBitsPerSecond, language)
  const lowest = formatBitrate(lowestBitsPerSecond, language)
  const longest = formatSeconds(longestStallMs / 1000, language)
  return (
    <>
      <strong>{t('bandwidth.hop', { node, median })}</strong>
      <small class={stalls > 0 ? 'is-bad' : ''}>
        {t('bandwidth.lowest', { lowest })}
        {stalls > 0 && ` · ${t('bandwidth.stalls', { count: stalls, longest })}`}
      </small>
    </>
  )
}
