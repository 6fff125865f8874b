// The built watch page in a real browser, playing real media: both protocols, both languages, a phone's width, by
// keyboard, over an outage and after the end, with nothing from another host and nothing against the policy.
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import type { Browser, BrowserContextOptions, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { launchBrowser, pictureHash, playerState } from '../../support/browser.ts'
import { type BuiltSite, buildSite } from '../../support/built-site.ts'
import { Playhouse, replayId } from '../../support/playhouse.ts'
import { until } from '../../support/until.ts'

const limitMs = 90_000
const shellBudgetBytes = 60 * 1024

let site: BuiltSite
let house: Playhouse
let browser: Browser
const complaints: string[] = []

beforeAll(async () => {
  const launched = launchBrowser()
  site = await buildSite('watch')
  house = await startShow()
  browser = await launched
}, limitMs)

afterAll(async () => {
  await browser?.close()
  await house?.[Symbol.asyncDispose]()
  await site?.[Symbol.asyncDispose]()
})

async function startShow(): Promise<Playhouse> {
  const house = await Playhouse.start({ site: site.dir, liveId: 'demo' })
  house.set({
    title: 'Harbour market',
    broadcastId: replayId,
    startedAt: new Date().toISOString(),
    viewers: 12,
  })
  await house.goLive()
  return house
}

async function open(path: string, options: BrowserContextOptions = {}, at = house): Promise<Page> {
  const context = await browser.newContext({ locale: 'en-US', ...options })
  const page = await context.newPage()
  page.on('request', (request) => {
    const { protocol, origin } = new URL(request.url())
    if (protocol.startsWith('http') && origin !== at.url) complaints.push(request.url())
  })
  page.on('console', (message) => {
    if (/Content Security Policy|Refused to/i.test(message.text())) complaints.push(message.text())
  })
  page.on('pageerror', (error) => complaints.push(error.message))
  await page.goto(`${at.url}${path}`)
  return page
}

async function untilMoved(page: Page, seconds: number): Promise<void> {
  const first = await until('a first picture', async () => {
    const state = await playerState(page)
    return state?.timeToFirstPictureMs == null ? undefined : state
  })
  await until(`${seconds} s of picture`, async () => {
    const state = await playerState(page)
    return state !== undefined && state.currentTime > first.currentTime + seconds
  })
}

const scene = (page: Page) => page.evaluate('window.__nearcast.state().scene')

// Most of the time is spent on watching, so that pages are watched together, the longest first.
describe.concurrent('a show', () => {
  test('comes back by itself in HLS and DASH when the publisher does', {
    timeout: limitMs,
  }, async () => {
    await using show = await startShow()
    const pages = await Promise.all(
      ['hls', 'dash'].map((protocol) => open(`/watch/demo?protocol=${protocol}`, {}, show)),
    )
    await Promise.all(pages.map((page) => untilMoved(page, 1)))
    await show.stopEncoder()
    show.set({ state: 'held' })
    await Promise.all(
      pages.map((page) =>
        page.getByText('Waiting for the publisher').waitFor({ timeout: limitMs }),
      ),
    )
    await show.goLive()
    await Promise.all(
      pages.map(async (page) => {
        await until('the picture', async () => (await scene(page)) === 'playing', limitMs)
        await untilMoved(page, 2)
        await page.context().close()
      }),
    )
  })

  test('offers its replay when it has ended, and plays it', { timeout: limitMs }, async () => {
    await using show = await startShow()
    await show.makeReplay(4)
    const page = await open('/watch/demo', {}, show)
    await untilMoved(page, 1)
    await show.stopEncoder()
    show.set({ state: 'offline', replayId })
    await page.getByText('The show has ended').waitFor({ timeout: limitMs })
    await page.getByRole('button', { name: 'Watch the replay' }).click()
    await until('the replay', async () => (await scene(page)) === 'playing')
    await untilMoved(page, 1)
    expect(page.url()).toContain(`replay=${replayId}`)
    await page.getByText('That was the whole show.').waitFor()
    await page.getByRole('button', { name: 'Watch again' }).click()
    await until('the replay again', async () => (await scene(page)) === 'playing')
    await page.goBack()
    await page.getByText('The show has ended').waitFor()
    await page.context().close()
  })
})

describe.concurrent('watch page', () => {
  test.each([
    ['hls', '/watch/demo'],
    ['dash', '/watch/demo?protocol=dash'],
  ])(
    'plays %s, tells how, and lets the viewer choose',
    { timeout: limitMs },
    async (name, path) => {
      const page = await open(path)
      await untilMoved(page, 2)
      const before = await pictureHash(page)
      const state = await playerState(page)
      expect(state).toMatchObject({ protocol: name, rendition: expect.stringMatching(/^\d+p$/) })
      expect(state?.latencySeconds).toBeGreaterThan(0)
      expect(state?.latencySeconds).toBeLessThan(30)
      const clarity = page.getByLabel('Clarity', { exact: true })
      expect(await clarity.locator('option').count()).toBe(3)
      await clarity.selectOption('90p')
      await until('the small rendition', async () => (await playerState(page))?.rendition === '90p')
      await clarity.selectOption('180p')
      await until(
        'the large rendition',
        async () => (await playerState(page))?.rendition === '180p',
      )
      await until('another picture', async () => (await pictureHash(page)) !== before)
      await page.context().close()
    },
  )

  test('changes protocol without leaving the page', { timeout: limitMs }, async () => {
    const page = await open('/watch/demo')
    await untilMoved(page, 1)
    await page.getByRole('radio', { name: 'DASH' }).check()
    await until('dash', async () => (await playerState(page))?.protocol === 'dash')
    await untilMoved(page, 2)
    await page.context().close()
  })

  test.each(['', '?protocol=dash'])(
    'plays as near to live as it can unless told otherwise, and remembers%s',
    { timeout: limitMs },
    async (query) => {
      const page = await open(`/watch/demo${query}`)
      await untilMoved(page, 1)
      expect(await playerState(page)).toMatchObject({ latencyMode: 'low' })
      await page.getByRole('radio', { name: 'Normal' }).check()
      await until(
        'the other target',
        async () => ((await playerState(page))?.targetLatencySeconds ?? 0) > 2,
      )
      await untilMoved(page, 1)
      await page.reload()
      await untilMoved(page, 1)
      expect(await playerState(page)).toMatchObject({ latencyMode: 'normal' })
      await page.context().close()
    },
  )

  test('starts without sound and gives it by one press or key', { timeout: limitMs }, async () => {
    const page = await open('/watch/demo')
    await untilMoved(page, 0.5)
    const isMuted = () => page.evaluate("document.querySelector('video').muted")
    const isPaused = () => page.evaluate("document.querySelector('video').paused")
    expect(await isMuted()).toBe(true)
    await page.getByRole('button', { name: 'Turn the sound on' }).click()
    expect(await isMuted()).toBe(false)
    await page.keyboard.press('m')
    expect(await isMuted()).toBe(true)
    await page.keyboard.press('k')
    expect(await isPaused()).toBe(true)
    await page.keyboard.press('k')
    await until('playing again', async () => !(await isPaused()))
    await page.keyboard.press('?')
    expect(await page.getByRole('dialog', { name: 'Keys' }).isVisible()).toBe(true)
    await page.keyboard.press('Escape')
    expect(await page.getByRole('dialog').count()).toBe(0)
    await page.context().close()
  })

  test('loses no key that is pressed right after another', { timeout: limitMs }, async () => {
    const page = await open('/watch/demo')
    await untilMoved(page, 0.5)
    const press = (...keys: string[]) =>
      page.evaluate(`(() => {
        for (const key of ${JSON.stringify(keys)}) dispatchEvent(new KeyboardEvent('keydown', { key }))
        const { muted, volume } = document.querySelector('video')
        return { muted, volume: volume.toFixed(1) }
      })()`)
    expect(await press('m', 'm')).toEqual({ muted: true, volume: '1.0' })
    expect(await press('m', 'm', 'm')).toEqual({ muted: false, volume: '1.0' })
    expect(await press('ArrowDown', 'ArrowDown', 'ArrowDown')).toMatchObject({ volume: '0.7' })
    await page.context().close()
  })

  test('can be reached by Tab alone, each control with a name', { timeout: limitMs }, async () => {
    const page = await open('/watch/demo')
    await untilMoved(page, 0.5)
    const names: string[] = []
    for (let i = 0; i < 20; i++) {
      await page.keyboard.press('Tab')
      const name = await page.evaluate(`(() => {
        const e = document.activeElement
        if (!e || e === document.body) return ''
        const label = e.labels && e.labels[0] ? e.labels[0].textContent : ''
        return (e.getAttribute('aria-label') || label || e.textContent || e.tagName).trim()
      })()`)
      if (name) names.push(String(name))
    }
    for (const name of ['Pause', 'Sound on', 'Volume', 'Full screen', 'HLS']) {
      expect(names).toContain(name)
    }
    expect(names.some((name) => name.startsWith('Clarity'))).toBe(true)
    expect(names).not.toContain('BUTTON')
    await page.context().close()
  })

  test.each([
    ['zh-CN', '直播中', '清晰度'],
    ['en-US', 'Live', 'Clarity'],
  ])(
    'speaks %s on a phone without scrolling sideways',
    { timeout: limitMs },
    async (locale, live, clarity) => {
      const page = await open('/watch/demo', { locale, viewport: { width: 380, height: 760 } })
      await page.locator('.badge', { hasText: live }).waitFor()
      await page.getByLabel(clarity, { exact: true }).waitFor()
      expect(await page.evaluate('document.documentElement.scrollWidth')).toBeLessThanOrEqual(380)
      expect(await page.evaluate('document.documentElement.lang')).toBe(
        locale.startsWith('zh') ? 'zh-CN' : 'en',
      )
      await page.getByRole('radio', { name: locale.startsWith('zh') ? 'EN' : '中文' }).check()
      await page
        .getByLabel(locale.startsWith('zh') ? 'Clarity' : '清晰度', { exact: true })
        .waitFor()
      await page.context().close()
    },
  )

  test('says what is wrong with a channel that it does not find', {
    timeout: limitMs,
  }, async () => {
    const page = await open('/watch/nobody')
    await page.getByText('No such channel').waitFor()
    await page.getByText('There is no channel “nobody” here.').waitFor()
    await page.goto(`${house.url}/watch/Not%20An%20Id`)
    await page.getByText('No channel in the address').waitFor()
    await page.context().close()
  })
})

test('nothing came from another host, broke the policy or threw', () => {
  expect(complaints).toEqual([])
})

test('the shell of the page keeps to its budget before any player', async () => {
  const html = await readFile(join(site.dir, 'index.html'), 'utf8')
  const assets = await readdir(join(site.dir, 'assets'))
  const named = assets.filter((asset) => html.includes(`/assets/${asset}"`))
  const bodies = await Promise.all(named.map((asset) => readFile(join(site.dir, 'assets', asset))))
  const bytes = bodies.reduce((sum, body) => sum + gzipSync(body).length, gzipSync(html).length)
  expect(named.length).toBeGreaterThanOrEqual(2)
  expect(bytes).toBeLessThan(shellBudgetBytes)
})
