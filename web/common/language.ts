// Decides which language a page speaks: the reader's own choice, else the first one of the browser's
// list (what it sends as Accept-Language) that we have, else English.
import { type Language, languages } from './translate.ts'

export function chooseLanguage(
  chosen: string | null | undefined,
  accepted: readonly string[],
): Language {
  return matchLanguage(chosen ?? '') ?? accepted.map(matchLanguage).find(Boolean) ?? 'en'
}

/** `zh`, `zh-Hans-CN` and `zh-SG` all read zh-CN; so do readers of zh-TW before they read English. */
function matchLanguage(tag: string): Language | undefined {
  const primary = tag.toLowerCase().split('-')[0]
  return languages.find((language) => language.toLowerCase().split('-')[0] === primary)
}
