// A sentence for each way in which the API refuses; the codes are the API's own.
import type { Translate } from '../common/translate.ts'
import { ApiError } from './api/client.ts'
import { en, type MessageKey } from './messages.ts'

export function errorText(error: unknown, t: Translate<MessageKey>): string {
  if (!(error instanceof ApiError)) {
    return t('error.other', { detail: error instanceof Error ? error.message : String(error) })
  }
  const key = `error.${error.code}`
  const detail = error.message
  return isMessage(key) ? t(key, { detail }) : t('error.other', { detail })
}

function isMessage(key: string): key is MessageKey {
  return Object.hasOwn(en, key)
}
