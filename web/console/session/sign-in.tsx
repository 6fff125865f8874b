// The way in without a one-time address: a token, pasted.
import { useState } from 'preact/hooks'
import { Brand } from '../../common/brand.tsx'
import { LanguageSwitch } from '../../common/speech.tsx'
import { ErrorNote, Field } from '../parts.tsx'
import { useSpeech } from '../speech.ts'
import { tokenOf } from './token-store.ts'

export interface SignInProps {
  isWorking: boolean
  error: unknown
  hasEnded: boolean
  /** Rejects when the token is not accepted. */
  onToken(token: string): Promise<void>
}

export function SignIn({ isWorking, error, hasEnded, onToken }: SignInProps) {
  const { t, language, speak } = useSpeech()
  const [text, setText] = useState('')
  const [isBusy, setBusy] = useState(false)
  const [isOdd, setOdd] = useState(false)
  const [refusal, setRefusal] = useState<unknown>()

  const submit = async (event: Event) => {
    event.preventDefault()
    const token = tokenOf(text)
    setOdd(token === undefined)
    setRefusal(undefined)
    if (token === undefined) return
    setBusy(true)
    try {
      await onToken(token)
    } catch (err) {
      setRefusal(err)
      setBusy(false)
    }
  }

  return (
    <div class="sign-in">
      <header class="masthead">
        <Brand />
        <LanguageSwitch label={t('site.language')} language={language} speak={speak} />
      </header>
      <main>
        {isWorking ? (
          <p role="status">{t('sign-in.working')}…</p>
        ) : (
          <form onSubmit={submit} noValidate>
            <h1>{t('sign-in.title')}</h1>
            <p>{t('sign-in.text')}</p>
            {hasEnded && <p role="status">{t('sign-in.ended')}</p>}
            <ErrorNote error={refusal ?? error} />
            <Field label={t('sign-in.token')} error={isOdd ? t('sign-in.not-a-token') : undefined}>
              {({ id, describedBy }) => (
                <input
                  id={id}
                  type="password"
                  autocomplete="off"
                  spellcheck={false}
                  aria-describedby={describedBy}
                  value={text}
                  onInput={(event) => setText(event.currentTarget.value)}
                />
              )}
            </Field>
            <button type="submit" class="button primary" disabled={isBusy}>
              {t('sign-in.submit')}
            </button>
          </form>
        )}
      </main>
    </div>
  )
}
