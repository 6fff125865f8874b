// What the encoder of a stream could do better, in the language of the reader; nothing where it does well.
import { useId } from 'preact/hooks'
import type { Finding } from '../../../common/contract/placement.ts'
import { useSpeech } from '../speech.ts'

export function StreamFindings({ findings }: { findings: readonly Finding[] }) {
  const { t } = useSpeech()
  const titleId = useId()
  const warnings = findings.filter(({ isWarning }) => isWarning)
  if (warnings.length === 0) return null
  return (
    <section class="findings" aria-labelledby={titleId}>
      <h3 id={titleId}>{t('stream.findings')}</h3>
      <ul>
        {warnings.map(({ code, value }) => (
          <li key={code}>
            {t(`stream.finding.${code}`, {
              value: typeof value === 'number' ? Math.abs(value) : value,
            })}
          </li>
        ))}
      </ul>
    </section>
  )
}
