// Messages: filling in, plurals, choice of language, and that both languages say everything.
import { describe, expect, test } from 'vitest'
import { chooseLanguage } from '../../../web/common/language.ts'
import { createTranslate, languages, paramsOf } from '../../../web/common/translate.ts'
import { catalogs as consoleSite } from '../../../web/console/messages.ts'
import { catalogs as watch } from '../../../web/watch/messages.ts'

const catalogs = {
  en: { hi: 'Hello {name}', n: '{n, plural, one {# viewer} other {# viewers}} of {name}' },
  'zh-CN': { hi: '你好，{name}', n: '{name}：{n} 人' },
}

describe('translate', () => {
  test.each([
    ['en', 'hi', { name: 'Ada' }, 'Hello Ada'],
    ['en', 'n', { n: 1, name: 'a' }, '1 viewer of a'],
    ['en', 'n', { n: 1200, name: 'a' }, '1,200 viewers of a'],
    ['zh-CN', 'n', { n: 1200, name: '甲' }, '甲：1,200 人'],
    ['en', 'hi', {}, 'Hello {name}'],
  ] as const)('%s %s fills in %j', (language, key, params, expected) => {
    expect(createTranslate(language, catalogs)(key, params)).toBe(expected)
  })

  test('a value that looks like a placeholder is not filled in again', () => {
    const t = createTranslate('en', { en: { a: '{x} {y}' }, 'zh-CN': { a: '' } })
    expect(t('a', { x: '{y}', y: 'no' })).toBe('{y} no')
  })
})

describe('choice of language', () => {
  test.each([
    [null, ['zh-CN', 'en'], 'zh-CN'],
    [null, ['de', 'zh-Hans-CN', 'en'], 'zh-CN'],
    [null, ['de', 'en-GB'], 'en'],
    [null, [], 'en'],
    ['en', ['zh-CN'], 'en'],
    ['zh', ['en'], 'zh-CN'],
    ['tlh', ['zh'], 'zh-CN'],
  ])('chosen %s of %j gives %s', (chosen, accepted, expected) => {
    expect(chooseLanguage(chosen, accepted)).toBe(expected)
  })
})

describe.each(Object.entries({ watch, console: consoleSite }))(
  'catalogs of the %s site',
  (_site, texts) => {
    const byLanguage: Record<string, Record<string, string>> = texts
    const english = byLanguage.en!

    test.each(languages)('%s has every message and no other', (language) => {
      expect(Object.keys(byLanguage[language]!).sort()).toEqual(Object.keys(english).sort())
    })

    test.each(languages)('%s fills in the same values as English', (language) => {
      for (const [key, message] of Object.entries(byLanguage[language]!)) {
        expect(message.trim(), key).not.toBe('')
        expect(paramsOf(message), key).toEqual(paramsOf(english[key]!))
      }
    })

    test('Chinese is not English left over', () => {
      const same = Object.keys(english).filter(
        (key) => /[a-z]{4}/i.test(english[key]!) && english[key] === byLanguage['zh-CN']![key],
      )
      expect(same).toEqual([])
    })
  },
)
