// How the show is played: protocol, clarity, and the instruments that tell how well it goes.
import { formatBitrate, formatDuration, formatSeconds } from '../common/format.ts'
import { useStore } from '../common/use-store.ts'
import { nameOf } from './player/choice.ts'
import { canPlayDash } from './player/load-engine.ts'
import { useSpeech } from './speech.ts'
import type { Theatre } from './theatre.ts'

export function SettingsPanel({ theatre }: { theatre: Theatre }) {
  const { t } = useSpeech()
  return (
    <section class="panel" aria-labelledby="settings-title">
      <h2 id="settings-title">{t('settings.title')}</h2>
      <div class="settings">
        <ProtocolChoice theatre={theatre} />
        <LatencyChoice theatre={theatre} />
        <ClarityChoice theatre={theatre} />
      </div>
      <Instruments theatre={theatre} />
    </section>
  )
}

function ProtocolChoice({ theatre }: { theatre: Theatre }) {
  const { t } = useSpeech()
  const { protocol } = useStore(theatre.view)
  return (
    <SegmentedChoice
      name="protocol"
      label={t('settings.protocol')}
      options={[
        { value: 'hls', label: 'HLS' },
        { value: 'dash', label: 'DASH', isDisabled: !canPlayDash() },
      ]}
      chosen={protocol}
      onChoose={(value) => theatre.setProtocol(value)}
    />
  )
}

function LatencyChoice({ theatre }: { theatre: Theatre }) {
  const { t } = useSpeech()
  const { latencyMode, programme } = useStore(theatre.view)
  if (programme.kind === 'replay') return null
  return (
    <SegmentedChoice
      name="latency"
      label={t('settings.latency')}
      hint={t('settings.latency-hint')}
      options={[
        { value: 'low', label: t('settings.latency-low') },
        { value: 'normal', label: t('settings.latency-normal') },
      ]}
      chosen={latencyMode}
      onChoose={(value) => theatre.setLatencyMode(value)}
    />
  )
}

interface SegmentedChoiceProps<Value extends string> {
  name: string
  label: string
  hint?: string
  options: readonly { value: Value; label: string; isDisabled?: boolean }[]
  chosen: Value
  onChoose(value: Value): void
}

function SegmentedChoice<Value extends string>(props: SegmentedChoiceProps<Value>) {
  const { name, label, hint, options, chosen, onChoose } = props
  return (
    <div class="setting" title={hint}>
      <span id={`${name}-label`}>{label}</span>
      <div role="radiogroup" aria-labelledby={`${name}-label`} class="segmented">
        {options.map((option) => (
          <label key={option.value}>
            <input
              type="radio"
              name={name}
              value={option.value}
              checked={chosen === option.value}
              disabled={option.isDisabled}
              onChange={() => onChoose(option.value)}
            />
            <span>{option.label}</span>
          </label>
        ))}
      </div>
    </div>
  )
}

function ClarityChoice({ theatre }: { theatre: Theatre }) {
  const { t, language } = useSpeech()
  const { choices, clarity } = useStore(theatre.view)
  const { rendition } = useStore(theatre.readout)
  const isKnown = clarity === 'auto' || choices.some((choice) => nameOf(choice) === clarity)
  return (
    <div class="setting">
      <label for="clarity">{t('settings.clarity')}</label>
      <select
        id="clarity"
        value={clarity}
        disabled={choices.length === 0}
        onChange={(event) => theatre.setClarity(event.currentTarget.value)}
      >
        <option value="auto">
          {clarity === 'auto' && rendition
            ? t('settings.auto-now', { rendition })
            : t('settings.auto')}
        </option>
        {!isKnown && <option value={clarity}>{clarity}</option>}
        {choices.map((choice) => (
          <option key={choice.id} value={nameOf(choice)}>
            {nameOf(choice)} · {formatBitrate(choice.bitsPerSecond, language)}
          </option>
        ))}
      </select>
    </div>
  )
}

function Instruments({ theatre }: { theatre: Theatre }) {
  const { t, language } = useSpeech()
  const readout = useStore(theatre.readout)
  const { programme } = useStore(theatre.view)
  const none = t('readout.none')
  const seconds = (value: number | null) => (value === null ? none : formatSeconds(value, language))
  const { targetLatencySeconds: target, timeToFirstPictureMs: first } = readout
  const { rendition, renditionBitsPerSecond: rate } = readout
  return (
    <dl class="instruments">
      {programme.kind === 'live' ? (
        <Instrument
          name="latency"
          label={t('readout.latency')}
          hint={t('readout.latency-hint')}
          value={seconds(readout.latencySeconds)}
          detail={
            target === null
              ? undefined
              : t('readout.latency-target', { seconds: formatSeconds(target, language) })
          }
        />
      ) : (
        <Instrument
          name="position"
          label={t('readout.position')}
          value={formatDuration(readout.currentTime * 1000)}
        />
      )}
      <Instrument
        name="buffer"
        label={t('readout.buffer')}
        hint={t('readout.buffer-hint')}
        value={seconds(readout.bufferedSeconds)}
      />
      <Instrument
        name="first-picture"
        label={t('readout.first-picture')}
        hint={t('readout.first-picture-hint')}
        value={seconds(first === null ? null : first / 1000)}
      />
      <Instrument
        name="stalls"
        label={t('readout.stalls')}
        hint={t('readout.stalls-hint')}
        value={String(readout.stalls)}
      />
      <Instrument
        name="clarity"
        label={t('readout.clarity')}
        value={rendition ?? none}
        detail={rate === null ? undefined : formatBitrate(rate, language)}
      />
    </dl>
  )
}

function Instrument(props: {
  name: string
  label: string
  value: string
  hint?: string
  detail?: string | undefined
}) {
  return (
    <div class={`instrument instrument-${props.name}`} title={props.hint}>
      <dt>{props.label}</dt>
      <dd>
        {props.value}
        {props.detail && <small>{props.detail}</small>}
      </dd>
    </div>
  )
}
