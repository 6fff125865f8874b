// What the encoder of a stream could do better, in the language of the reader.
import type { Finding } from '../../../common/contract/placement.ts'
import { useSpeech } from '../speech.ts'

type Measured = Exclude<Finding['code'], 'rate-control'>

export function StreamFindings({ findings }: { findings: readonly Finding[] }) {
  const { t } = useSpeech()
  if (findings.length === 0) return null
  const textOf = ({ code, value }: Finding) =>
    typeof value === 'string'
      ? t(`stream.rate-control.${value}`)
      : t(`stream.finding.${code as Measured}`, { value: Math.abs(value) })
  return (
    <ul class="findings" aria-label={t('stream.findings')}>
      {findings.map((finding) => (
        <li key={finding.code} class={finding.isWarning ? 'is-warning' : ''}>
          {textOf(finding)}
        </li>
      ))}
    </ul>
  )
}
