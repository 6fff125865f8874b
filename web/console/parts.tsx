// Small parts of the console's screens: errors, copying, dialogs that ask before something is done.
import type { ComponentChildren } from 'preact'
import { useEffect, useId, useRef, useState } from 'preact/hooks'
import { Icon } from '../common/icons.tsx'
import { errorText } from './error-text.ts'
import { useSpeech } from './speech.ts'

export function ErrorNote({ error, onRetry }: { error: unknown; onRetry?: () => void }) {
  const { t } = useSpeech()
  if (error === undefined || error === null) return null
  return (
    <p role="alert" class="error-note">
      {errorText(error, t)}
      {onRetry && (
        <button type="button" class="button" onClick={onRetry}>
          {t('action.try-again')}
        </button>
      )}
    </p>
  )
}

type CopyState = 'idle' | 'copied' | 'failed'

export function CopyButton({ text, label }: { text: string; label?: string }) {
  const { t } = useSpeech()
  const [state, setState] = useState<CopyState>('idle')
  useEffect(() => {
    if (state === 'idle') return
    const timer = setTimeout(() => setState('idle'), 2500)
    return () => clearTimeout(timer)
  }, [state])
  const words = {
    idle: label ?? t('action.copy'),
    copied: t('action.copied'),
    failed: t('action.copy-failed'),
  }
  return (
    <button
      type="button"
      class="button copy-button"
      onClick={async () => setState((await copy(text)) ? 'copied' : 'failed')}
    >
      <Icon name={state === 'copied' ? 'check' : 'copy'} />
      <span aria-live="polite">{words[state]}</span>
    </button>
  )
}

/** The clipboard API needs a secure page, which the console by plain HTTP on a LAN is not. */
async function copy(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text)
    return true
  } catch {
    const field = document.createElement('textarea')
    field.value = text
    field.className = 'visually-hidden'
    const home = document.querySelector('dialog[open]') ?? document.body
    home.append(field)
    field.select()
    const isCopied = document.execCommand('copy')
    field.remove()
    return isCopied
  }
}

export function CopyRow({ label, value, hint }: { label: string; value: string; hint?: string }) {
  return (
    <div class="copy-row">
      <dt>{label}</dt>
      <dd>
        <code>{value}</code>
        {hint && <small>{hint}</small>}
      </dd>
      <CopyButton text={value} />
    </div>
  )
}

/** A dialog that is open for as long as it is drawn. */
export function Dialog(props: { title: string; onClose(): void; children: ComponentChildren }) {
  const dialog = useRef<HTMLDialogElement>(null)
  const id = useId()
  useEffect(() => dialog.current?.showModal(), [])
  return (
    <dialog ref={dialog} aria-labelledby={id} onClose={props.onClose}>
      <h2 id={id}>{props.title}</h2>
      {props.children}
    </dialog>
  )
}

export interface ConfirmProps {
  title: string
  text: string
  /** What the button does, in its own words. */
  action: string
  isDanger?: boolean
  children?: ComponentChildren
  /** Closes the dialog when it resolves; an error stays in it. */
  onConfirm(): Promise<unknown>
  onClose(): void
}

export function Confirm(props: ConfirmProps) {
  const { t } = useSpeech()
  const [isBusy, setBusy] = useState(false)
  const [error, setError] = useState<unknown>()
  const confirm = async () => {
    setBusy(true)
    setError(undefined)
    try {
      await props.onConfirm()
      props.onClose()
    } catch (err) {
      setError(err)
      setBusy(false)
    }
  }
  return (
    <Dialog title={props.title} onClose={props.onClose}>
      <p>{props.text}</p>
      {props.children}
      <ErrorNote error={error} />
      <div class="actions">
        <button type="button" class="button" onClick={props.onClose}>
          {t('action.cancel')}
        </button>
        <button
          type="button"
          class={`button ${props.isDanger ? 'danger' : 'primary'}`}
          disabled={isBusy}
          onClick={confirm}
        >
          {props.action}
        </button>
      </div>
    </Dialog>
  )
}

export function Field(props: {
  label: string
  hint?: string | undefined
  error?: string | undefined
  children(ids: { id: string; describedBy: string | undefined }): ComponentChildren
}) {
  const id = useId()
  const noteId = `${id}-note`
  const note = props.error ?? props.hint
  return (
    <div class={`field ${props.error ? 'has-error' : ''}`}>
      <label for={id}>{props.label}</label>
      {props.children({ id, describedBy: note ? noteId : undefined })}
      {note && (
        <small id={noteId} role={props.error ? 'alert' : undefined}>
          {note}
        </small>
      )}
    </div>
  )
}

export function Heading(props: { title: string; note?: string; children?: ComponentChildren }) {
  return (
    <div class="heading">
      <h1>{props.title}</h1>
      {props.note && <p>{props.note}</p>}
      <div class="heading-actions">{props.children}</div>
    </div>
  )
}
