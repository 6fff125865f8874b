// Why publishers of a channel were refused of late, in the words that their encoders got.
import { formatMoment } from '../../common/format.ts'
import type { ChannelRefusal } from '../api/shapes.ts'
import { useConsole } from '../context.ts'
import { ErrorNote } from '../parts.tsx'
import { useSpeech } from '../speech.ts'
import { useResource } from '../use-resource.ts'

const everyMs = 5_000

export function RefusalsPanel({ liveId }: { liveId: string }) {
  const { t } = useSpeech()
  const { client } = useConsole()
  const refusals = useResource(() => client.refusals(liveId), [client, liveId], everyMs)
  return (
    <section class="panel" aria-labelledby="refusals-title">
      <h2 id="refusals-title">{t('refusals.title')}</h2>
      <ErrorNote error={refusals.error} onRetry={refusals.reload} />
      {refusals.value?.length === 0 && <p class="dim">{t('refusals.none')}</p>}
      <ul class="rows">
        {refusals.value?.map((refused) => (
          <RefusalRow key={refused.code} refused={refused} />
        ))}
      </ul>
    </section>
  )
}

function RefusalRow({ refused }: { refused: ChannelRefusal }) {
  const { t, language } = useSpeech()
  const { code, message, count, lastAt, node } = refused
  const when = t('refusals.when', { count, moment: formatMoment(lastAt, language), node })
  return (
    <li>
      <div>
        <strong>{message}</strong>
        <small>
          <code>{code}</code> · {when}
        </small>
      </div>
    </li>
  )
}
