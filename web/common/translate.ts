// Turns catalog messages into sentences: `{name}` is replaced, `{n, plural, one {…} other {…}}` chosen by
// the language's own plural rules, `#` inside it is the number.

/** Languages that every catalog has. */
export const languages = ['en', 'zh-CN'] as const
export type Language = (typeof languages)[number]

export const languageNames: Record<Language, string> = { en: 'English', 'zh-CN': '简体中文' }

export type Params = Record<string, string | number>
export type Catalog<Key extends string> = Record<Key, string>

/** Looks up a message and fills it in. */
export type Translate<Key extends string> = (key: Key, params?: Params) => string

export function createTranslate<Key extends string>(
  language: Language,
  catalogs: Record<Language, Catalog<Key>>,
): Translate<Key> {
  const plural = new Intl.PluralRules(language)
  const number = new Intl.NumberFormat(language)
  const catalog = catalogs[language]
  return (key, params = {}) => fill(catalog[key], params, plural, number)
}

const pluralPattern = /\{(\w+), plural,((?: \w+ \{[^{}]*\})+)\}/g
const branchPattern = / (\w+) \{([^{}]*)\}/g
const namePattern = /\{(\w+)\}/g

function fill(
  message: string,
  params: Params,
  plural: Intl.PluralRules,
  number: Intl.NumberFormat,
): string {
  const show = (value: string | number) =>
    typeof value === 'number' ? number.format(value) : value
  return message
    .replace(pluralPattern, (whole, name: string, branches: string) => {
      const value = params[name]
      if (typeof value !== 'number') return whole
      const texts = new Map([...branches.matchAll(branchPattern)].map((m) => [m[1]!, m[2]!]))
      const text = texts.get(plural.select(value)) ?? texts.get('other') ?? ''
      return text.replaceAll('#', number.format(value))
    })
    .replace(namePattern, (whole, name: string) => {
      const value = params[name]
      return value === undefined ? whole : show(value)
    })
}

/** Names that a message expects, sorted: both languages must ask for the same. */
export function paramsOf(message: string): string[] {
  const names = new Set<string>()
  const rest = message.replace(pluralPattern, (_whole, name: string) => {
    names.add(name)
    return ''
  })
  for (const match of rest.matchAll(namePattern)) names.add(match[1]!)
  return [...names].sort()
}
