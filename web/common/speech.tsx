// The page's language as something that components can ask for, and the switch that changes it.
import type { ComponentChildren, Context } from 'preact'
import { createContext } from 'preact'
import { useContext, useEffect, useMemo, useState } from 'preact/hooks'
import { chooseLanguage } from './language.ts'
import { readPreference, writePreference } from './preferences.ts'
import {
  type Catalog,
  createTranslate,
  type Language,
  languageNames,
  languages,
  type Translate,
} from './translate.ts'

export interface Speech<Key extends string> {
  t: Translate<Key>
  language: Language
  speak(language: Language): void
}

/** One per site, because each site has its own catalogs. */
export function createSpeech<Key extends string>(catalogs: Record<Language, Catalog<Key>>) {
  const context: Context<Speech<Key>> = createContext<Speech<Key>>({
    t: createTranslate('en', catalogs),
    language: 'en',
    speak: () => {},
  })

  function SpeechProvider({ children }: { children: ComponentChildren }) {
    const [language, setLanguage] = useState(() =>
      chooseLanguage(
        new URLSearchParams(location.search).get('lang') ?? readPreference('language'),
        navigator.languages,
      ),
    )
    const speech = useMemo(
      () => ({
        t: createTranslate(language, catalogs),
        language,
        speak(next: Language) {
          writePreference('language', next)
          setLanguage(next)
        },
      }),
      [language],
    )
    useEffect(() => {
      document.documentElement.lang = language
    }, [language])
    return <context.Provider value={speech}>{children}</context.Provider>
  }

  return { SpeechProvider, useSpeech: () => useContext(context) }
}

/** Both names stay readable to those who cannot read the other one. */
export function LanguageSwitch(props: {
  label: string
  language: Language
  speak(language: Language): void
}) {
  return (
    <fieldset class="segmented language-switch">
      <legend class="visually-hidden">{props.label}</legend>
      {languages.map((language) => (
        <label key={language} lang={language}>
          <input
            type="radio"
            name="language"
            value={language}
            checked={props.language === language}
            onChange={() => props.speak(language)}
          />
          <span title={languageNames[language]}>{language === 'en' ? 'EN' : '中文'}</span>
        </label>
      ))}
    </fieldset>
  )
}
