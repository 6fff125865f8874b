// The ring: a picture of shares and streams, and the same as lists.
import { useState } from 'preact/hooks'
import { formatPercent } from '../../common/format.ts'
import type { RingState } from '../api/shapes.ts'
import { useClusterState, useConsole } from '../context.ts'
import { ErrorNote, Field, Heading } from '../parts.tsx'
import { useSpeech } from '../speech.ts'
import { useResource } from '../use-resource.ts'
import { arcPath, layOut, pointAt } from './ring-geometry.ts'

export function RingScreen() {
  const { t } = useSpeech()
  const { client } = useConsole()
  const { nodes, streams } = useClusterState()
  // Asked again when a transcoder comes or goes, or a stream is placed elsewhere.
  const members = nodes
    .filter(({ role }) => role === 'transcoder')
    .map(({ id, health, weight }) => `${id} ${health} ${weight}`)
  const placed = streams.map(
    ({ liveId, epoch, transcoder }) => `${liveId} ${epoch} ${transcoder?.id}`,
  )
  const [asked, setAsked] = useState('')
  const ring = useResource(
    () => client.ring(asked || undefined),
    [client, asked, members.join(), placed.join()],
  )
  return (
    <>
      <Heading title={t('ring.title')} />
      <ErrorNote error={ring.error} onRetry={ring.reload} />
      {ring.value && (
        <>
          <p class="lead">{t('ring.text', { vnodes: ring.value.vnodes })}</p>
          {ring.value.nodes.length === 0 ? (
            <p class="empty">{t('ring.none')}</p>
          ) : (
            <div class="ring">
              <RingPicture ring={ring.value} />
              <div>
                <ShareTable ring={ring.value} />
                <LookUp ring={ring.value} onAsk={setAsked} />
              </div>
            </div>
          )}
          <PlacedTable ring={ring.value} />
        </>
      )}
    </>
  )
}

const radius = 100
const tones = 6

function RingPicture({ ring }: { ring: RingState }) {
  const { t, language } = useSpeech()
  const { arcs, spots } = layOut(ring)
  const label = t('ring.picture', { count: arcs.length })
  return (
    <svg class="ring-picture" viewBox="-180 -150 360 300" role="img" aria-label={label}>
      {arcs.map((arc, i) => {
        const middle = (arc.from + arc.to) / 2
        const { x, y } = pointAt(middle, radius + 22)
        const share = ring.nodes.find(({ id }) => id === arc.id)?.share ?? 0
        // A hair of a gap tells neighbours apart; a lone node closes its circle.
        const gap = arcs.length > 1 ? 0.004 : 0
        return (
          <g key={arc.id} class={`arc tone-${i % tones}`}>
            <path d={arcPath({ from: arc.from + gap, to: arc.to - gap }, radius)} />
            <text x={x} y={y} text-anchor={x > 12 ? 'start' : x < -12 ? 'end' : 'middle'}>
              <tspan class="arc-name">{arc.id}</tspan>
              <tspan x={x} dy="1.25em" class="arc-share">
                {formatPercent(share, language)}
              </tspan>
            </text>
          </g>
        )
      })}
      {spots.map((spot) => {
        const on = pointAt(spot.at, radius)
        const inside = pointAt(spot.at, radius - 16)
        return (
          <g key={spot.liveId} class={`spot ${spot.isMoved ? 'is-moved' : ''}`}>
            <circle cx={on.x} cy={on.y} r="5" />
            <text
              x={inside.x}
              y={inside.y + 3}
              text-anchor={inside.x > 12 ? 'end' : inside.x < -12 ? 'start' : 'middle'}
            >
              {spot.liveId.length > 14 ? `${spot.liveId.slice(0, 13)}…` : spot.liveId}
            </text>
          </g>
        )
      })}
    </svg>
  )
}

function ShareTable({ ring }: { ring: RingState }) {
  const { t, language } = useSpeech()
  const nodes = [...ring.nodes].sort((a, b) => b.share - a.share || (a.id < b.id ? -1 : 1))
  return (
    <table class="table">
      <thead>
        <tr>
          <th scope="col">{t('ring.node')}</th>
          <th scope="col">{t('ring.share')}</th>
          <th scope="col">{t('ring.weight')}</th>
          <th scope="col">{t('ring.streams')}</th>
          <th scope="col">{t('ring.fill')}</th>
        </tr>
      </thead>
      <tbody>
        {nodes.map(({ id, share, weight, streams, load, cap }) => (
          <tr key={id}>
            <th scope="row" class="mono">
              {id}
            </th>
            <td data-label={t('ring.share')}>{formatPercent(share, language)}</td>
            <td data-label={t('ring.weight')}>{weight}</td>
            <td data-label={t('ring.streams')}>{streams}</td>
            <td data-label={t('ring.fill')}>
              <span class="meter-cell">
                <span class="figure">
                  {cap > 0 ? formatPercent(load / cap, language) : t('value.none')}
                </span>
                <meter min={0} max={1} value={cap > 0 ? Math.min(1, load / cap) : 0} />
              </span>
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  )
}

function LookUp({ ring, onAsk }: { ring: RingState; onAsk(liveId: string): void }) {
  const { t } = useSpeech()
  const [text, setText] = useState('')
  const [isOdd, setOdd] = useState(false)
  const submit = (event: Event) => {
    event.preventDefault()
    const liveId = text.trim()
    const isBad = !/^[a-z0-9][a-z0-9_-]{0,62}$/.test(liveId)
    setOdd(isBad)
    if (!isBad) onAsk(liveId)
  }
  return (
    <form class="look-up" onSubmit={submit} noValidate>
      <Field label={t('ring.ask')} error={isOdd ? t('channels.live-id-bad') : undefined}>
        {({ id, describedBy }) => (
          <span class="inline-form">
            <input
              id={id}
              aria-describedby={describedBy}
              autocapitalize="off"
              spellcheck={false}
              value={text}
              onInput={(event) => setText(event.currentTarget.value)}
            />
            <button type="submit" class="button">
              {t('ring.ask-submit')}
            </button>
          </span>
        )}
      </Field>
      <div role="status">
        {ring.where.map(({ liveId, order: [first, ...rest] }) => (
          <p key={liveId}>
            {first === undefined
              ? t('ring.none')
              : rest.length === 0
                ? t('ring.order-one', { liveId, first })
                : t('ring.order', { liveId, first, rest: rest.join(', ') })}
          </p>
        ))}
      </div>
    </form>
  )
}

function PlacedTable({ ring }: { ring: RingState }) {
  const { t } = useSpeech()
  const streams = [...ring.streams].sort((a, b) => (a.liveId < b.liveId ? -1 : 1))
  return (
    <section class="panel" aria-labelledby="placed-title">
      <h2 id="placed-title">{t('ring.placed-title')}</h2>
      {streams.length === 0 && <p class="dim">{t('ring.no-streams')}</p>}
      {streams.length > 0 && (
        <table class="table">
          <thead>
            <tr>
              <th scope="col">{t('ring.live-id')}</th>
              <th scope="col">{t('ring.by-ring')}</th>
              <th scope="col">{t('ring.by-lease')}</th>
            </tr>
          </thead>
          <tbody>
            {streams.map(({ liveId, transcoder, ring: byRing }) => (
              <tr key={liveId}>
                <th scope="row" class="mono">
                  {liveId}
                </th>
                <td data-label={t('ring.by-ring')}>{byRing ?? t('value.none')}</td>
                <td data-label={t('ring.by-lease')}>
                  {transcoder ?? t('value.none')}
                  {transcoder !== null && byRing !== null && transcoder !== byRing && (
                    <small>{t('ring.moved')}</small>
                  )}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </section>
  )
}
