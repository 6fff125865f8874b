// What to enter into OBS, each value with its copy button.
import { useState } from 'preact/hooks'
import { useStore } from '../../common/use-store.ts'
import { useClusterState, useConsole } from '../context.ts'
import { CopyButton, CopyRow, Field } from '../parts.tsx'
import { useSpeech } from '../speech.ts'
import { type Kind, kinds, obsSettings, type Picture, pictures } from './obs-settings.ts'

export function ObsPanel({ liveId }: { liveId: string }) {
  const { t } = useSpeech()
  const { nodes } = useClusterState()
  const streamKey = useStore(useConsole().freshKeys).get(liveId)
  const pops = nodes.filter(
    ({ role, health, urls }) =>
      role === 'edge' && health !== 'gone' && health !== 'left' && urls.rtmps,
  )
  const [popId, setPopId] = useState<string>()
  const [picture, setPicture] = useState<Picture>('720p')
  const [kind, setKind] = useState<Kind>('show')
  const pop = pops.find(({ id }) => id === popId) ?? pops[0]
  const settings = obsSettings(picture, kind)
  const rows: { label: string; value: string; hint?: string }[] = [
    { label: t('obs.resolution'), value: settings.resolution },
    { label: t('obs.fps'), value: String(settings.framesPerSecond) },
    { label: t('obs.encoder'), value: settings.encoder },
    { label: t('obs.rate-control'), value: settings.rateControl },
    { label: t('obs.bitrate'), value: `${settings.videoKilobitsPerSecond} kb/s` },
    {
      label: t('obs.keyframes'),
      value: `${settings.keyframeIntervalSeconds} s`,
      hint: t('obs.keyframes-hint'),
    },
    { label: t('obs.preset'), value: settings.preset },
    { label: t('obs.profile'), value: settings.profile },
    { label: t('obs.audio'), value: `${settings.audioKilobitsPerSecond} kb/s` },
  ]
  const server = pop?.urls.rtmps
  const text = [
    { label: t('obs.server'), value: server ?? t('obs.no-pop') },
    { label: t('obs.key'), value: streamKey ?? t('obs.key-hidden') },
    ...rows,
  ]
    .map(({ label, value }) => `${label}: ${value}`)
    .join('\n')
  return (
    <section class="panel obs" aria-labelledby="obs-title">
      <h2 id="obs-title">{t('obs.title')}</h2>
      <p class="dim">{t('obs.text')}</p>
      <div class="obs-choices">
        {pops.length > 1 && (
          <Field label={t('obs.pop')}>
            {({ id }) => (
              <select
                id={id}
                value={pop?.id ?? ''}
                onChange={(event) => setPopId(event.currentTarget.value)}
              >
                {pops.map((node) => (
                  <option key={node.id} value={node.id}>
                    {node.region ? `${node.id} (${node.region})` : node.id}
                  </option>
                ))}
              </select>
            )}
          </Field>
        )}
        <Field label={t('obs.picture')}>
          {({ id }) => (
            <select
              id={id}
              value={picture}
              onChange={(event) => setPicture(event.currentTarget.value as Picture)}
            >
              {pictures.map((name) => (
                <option key={name}>{name}</option>
              ))}
            </select>
          )}
        </Field>
        <Field label={t('obs.content')}>
          {({ id }) => (
            <select
              id={id}
              value={kind}
              onChange={(event) => setKind(event.currentTarget.value as Kind)}
            >
              {kinds.map((name) => (
                <option key={name} value={name}>
                  {t(`obs.kind.${name}`)}
                </option>
              ))}
            </select>
          )}
        </Field>
      </div>
      <dl class="copy-rows">
        {server ? (
          <CopyRow label={t('obs.server')} value={server} />
        ) : (
          <p role="status">{t('obs.no-pop')}</p>
        )}
        {streamKey ? (
          <CopyRow label={t('obs.key')} value={streamKey} />
        ) : (
          <div class="copy-row">
            <dt>{t('obs.key')}</dt>
            <dd>
              <small>{t('obs.key-hidden')}</small>
            </dd>
          </div>
        )}
      </dl>
      <dl class="plain-rows">
        {rows.map(({ label, value, hint }) => (
          <div key={label}>
            <dt>{label}</dt>
            <dd>
              {value}
              {hint && <small>{hint}</small>}
            </dd>
          </div>
        ))}
      </dl>
      <p class="dim small">{t('obs.certificate')}</p>
      <div class="actions">
        <CopyButton text={text} label={t('obs.copy-all')} />
      </div>
    </section>
  )
}
