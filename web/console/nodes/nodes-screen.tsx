// Every node of the cluster with role, region, health and load.
import { formatBitrate, formatBytes, formatMoment, formatPercent } from '../../common/format.ts'
import type { ClusterNode } from '../api/shapes.ts'
import { useClusterState } from '../context.ts'
import { Heading } from '../parts.tsx'
import { type MessageKey, useSpeech } from '../speech.ts'

const columns: MessageKey[] = [
  'node.name',
  'node.health',
  'node.region',
  'node.cpu',
  'node.memory',
  'node.streams',
  'node.viewers',
  'node.in',
  'node.out',
  'node.version',
]
const order = ['edge', 'gateway', 'transcoder', 'coordinator'] as const

export function NodesScreen() {
  const { t } = useSpeech()
  const { nodes, isLoaded } = useClusterState()
  if (!isLoaded) return <p role="status">{t('state.loading')}…</p>
  return (
    <>
      <Heading title={t('nodes.title')} note={t('nodes.count', { count: nodes.length })} />
      {nodes.length === 0 && <p class="empty">{t('nodes.none')}</p>}
      {nodes.length > 0 && (
        <table class="table nodes">
          <thead>
            <tr>
              {columns.map((key) => (
                <th key={key} scope="col">
                  {t(key)}
                </th>
              ))}
            </tr>
          </thead>
          {order.map((role) => {
            const members = nodes.filter((node) => node.role === role)
            if (members.length === 0) return null
            return (
              <tbody key={role}>
                <tr class="group">
                  <th colSpan={columns.length} scope="rowgroup">
                    {t(`role.${role}`)}
                  </th>
                </tr>
                {members.map((node) => (
                  <NodeRow key={node.id} node={node} />
                ))}
              </tbody>
            )
          })}
        </table>
      )}
    </>
  )
}

function NodeRow({ node }: { node: ClusterNode }) {
  const { t, language } = useSpeech()
  const { id, health, region, load, version, seenAt } = node
  const isAway = health === 'gone' || health === 'left'
  return (
    <tr class={isAway ? 'is-away' : ''}>
      <th scope="row" class="mono">
        {id}
      </th>
      <td data-label={t('node.health')}>
        <span class={`health health-${health}`}>
          <span class="dot" aria-hidden="true" />
          {t(`health.${health}`)}
        </span>
        {health !== 'ok' && (
          <small>{t('health.since', { moment: formatMoment(seenAt, language) })}</small>
        )}
      </td>
      <td data-label={t('node.region')}>{region ?? t('value.none')}</td>
      <td data-label={t('node.cpu')}>
        <span class="meter-cell">
          <span class="figure">{formatPercent(load.cpu, language)}</span>
          <meter min={0} max={1} high={0.85} optimum={0} value={Math.min(1, load.cpu)} />
        </span>
      </td>
      <td data-label={t('node.memory')}>{formatBytes(load.memoryBytes, language)}</td>
      <td data-label={t('node.streams')}>{load.streams}</td>
      <td data-label={t('node.viewers')}>{load.viewers}</td>
      <td data-label={t('node.in')}>{formatBitrate(load.bitsInPerSecond, language)}</td>
      <td data-label={t('node.out')}>{formatBitrate(load.bitsOutPerSecond, language)}</td>
      <td data-label={t('node.version')}>{version}</td>
    </tr>
  )
}
