// The road of one stream, drawn: publisher, POP, gateway, transcoder, viewers.
import { formatPercent } from '../../common/format.ts'
import type { ClusterNode, Stream } from '../api/shapes.ts'
import { useSpeech } from '../speech.ts'

type HopName = 'publisher' | 'pop' | 'gateway' | 'transcoder' | 'viewers'

interface Hop {
  name: HopName
  title: string
  note: string | null
  tone: 'good' | 'away' | 'plain'
}

export function StreamPath({ stream, nodes }: { stream: Stream; nodes: readonly ClusterNode[] }) {
  const { t, language } = useSpeech()
  const { video, state } = stream

  const node = (name: 'pop' | 'gateway' | 'transcoder'): Hop => {
    const id = stream[name]?.id
    const found = nodes.find((candidate) => candidate.id === id)
    const isUp = found?.health === 'ok' || found?.health === 'late'
    const facts = found && [found.region, `CPU ${formatPercent(found.load.cpu, language)}`]
    return {
      name,
      title: id ?? t('stream.hop.unknown'),
      note: !id
        ? null
        : isUp || found?.health === 'draining'
          ? (facts?.filter(Boolean).join(' · ') ?? null)
          : t('stream.hop.missing'),
      tone: isUp ? 'good' : 'away',
    }
  }
  const hops: Hop[] = [
    {
      name: 'publisher',
      title:
        state === 'held' ? t('stream.hop.away') : video ? `${video.width}×${video.height}` : '…',
      note: null,
      tone: state === 'held' ? 'away' : 'plain',
    },
    node('pop'),
    node('gateway'),
    node('transcoder'),
    { name: 'viewers', title: String(stream.viewers), note: null, tone: 'plain' },
  ]
  return (
    <ol class={`path path-${state}`} aria-label={t('stream.path')}>
      {hops.map(({ name, title, note, tone }) => (
        <li key={name} class={`hop hop-${name} hop-${tone}`}>
          <span class="hop-name">{t(`stream.hop.${name}`)}</span>
          <span class="hop-title">{title}</span>
          {note && <span class="hop-note">{note}</span>}
        </li>
      ))}
    </ol>
  )
}
