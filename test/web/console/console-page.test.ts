// The built console in a real browser before a real coordinator: the ways in, every screen in both languages at two
// widths, and what an operator does with channels and keys.
import type { Browser, BrowserContextOptions, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { adminToken } from '../../coordinator/coordinator-fixture.ts'
import { launchBrowser } from '../../support/browser.ts'
import { type BuiltSite, buildSite } from '../../support/built-site.ts'
import { ConsoleHouse } from '../../support/console-house.ts'
import { until } from '../../support/until.ts'

const limitMs = 60_000

let site: BuiltSite
let house: ConsoleHouse
let browser: Browser
const complaints: string[] = []

beforeAll(async () => {
  site = await buildSite('console')
  house = await ConsoleHouse.start(site.dir)
  await house.furnish()
  browser = await launchBrowser()
}, limitMs)

afterAll(async () => {
  await browser?.close()
  await house?.[Symbol.asyncDispose]()
  await site?.[Symbol.asyncDispose]()
})

async function newPage(options: BrowserContextOptions = {}): Promise<Page> {
  const context = await browser.newContext({ locale: 'en-US', ...options })
  const page = await context.newPage()
  page.on('request', (request) => {
    if (new URL(request.url()).origin !== house.url) complaints.push(request.url())
  })
  page.on('console', (message) => {
    if (/Content Security Policy|Refused to/i.test(message.text())) complaints.push(message.text())
  })
  page.on('pageerror', (error) => complaints.push(error.message))
  return page
}

async function signedIn(options: BrowserContextOptions = {}): Promise<Page> {
  const page = await newPage(options)
  await page.goto(`${house.url}/#code=${await house.loginCode()}`)
  await page.locator('.connection-live').waitFor()
  return page
}

async function show(page: Page, screen: string): Promise<void> {
  await page.evaluate(`location.hash = '#/${screen}'`)
}

describe('signing in', { timeout: limitMs }, () => {
  test('a one-time address opens a session once and leaves no trace in the address', async () => {
    const page = await newPage()
    const address = `${house.url}/#code=${await house.loginCode()}`
    await page.goto(address)
    await page.getByRole('heading', { name: 'Live streams' }).waitFor()
    expect(page.url()).toBe(`${house.url}/`)
    await page.reload()
    await page.getByRole('heading', { name: 'Live streams' }).waitFor()
    await page.context().close()

    const second = await newPage()
    await second.goto(address)
    await second.getByText('The one-time address was used before').waitFor()
    await second.context().close()
  })

  test('a token can be pasted; a wrong one is refused in words', async () => {
    const page = await newPage()
    await page.goto(house.url)
    const field = page.getByLabel('API token')
    await field.fill('what')
    await field.press('Enter')
    await page.getByText('This does not look like a token.').waitFor()
    await field.fill(`nct_${'w'.repeat(32)}`)
    await field.press('Enter')
    await page.getByText('The token is not valid').waitFor()
    await field.fill(adminToken)
    await field.press('Enter')
    await page.getByRole('heading', { name: 'Live streams' }).waitFor()
    await page.getByRole('button', { name: 'Sign out' }).click()
    await page.getByLabel('API token').waitFor()
    await page.context().close()
  })
})

describe('screens', { timeout: limitMs }, () => {
  test.each([
    ['en-US', 380],
    ['zh-CN', 380],
    ['en-US', 1280],
    ['zh-CN', 1280],
  ])('show all there is in %s at %d px, never wider than the window', async (locale, width) => {
    const isEnglish = locale === 'en-US'
    const page = await signedIn({ locale, viewport: { width, height: 800 } })
    const screens: [screen: string, texts: string[]][] = [
      ['streams', ['Harbour market', 'pop-1', 'gw-1', 'H.264 1280×720 30 fps', '720p']],
      [
        'streams',
        isEnglish
          ? [
              'Keyframes are 8.3 s apart. Set the keyframe interval to 2 s.',
              'CBR, a constant bitrate',
            ]
          : ['关键帧相隔 8.3 秒', 'CBR，恒定码率'],
      ],
      ['nodes', ['pop-2', 'ap-east', '91%', isEnglish ? 'Transcoder' : '转码器']],
      ['channels', ['lecture', isEnglish ? 'Off air' : '未开播']],
      ['channels/market', ['rtmps://pop-1.example.org/live', '2500 kb/s', 'CBR', '2 s']],
      [
        'channels/market',
        isEnglish
          ? [
              'codec-unsupported · 3 times, last',
              '2.48 Mb/s to pop-1',
              'stood still 2 times, 1.3 s',
            ]
          : ['codec-unsupported · 3 次', '到 gw-1：2.48 Mb/s', '停顿 2 次'],
      ],
      ['ring', ['tc-1', 'tc-2', 'tc-3', 'market']],
    ]
    for (const [screen, texts] of screens) {
      await show(page, screen)
      for (const text of texts) await page.getByText(text).first().waitFor()
      const scrollWidth = await page.evaluate('document.documentElement.scrollWidth')
      expect(scrollWidth, screen).toBeLessThanOrEqual(width)
    }
    await page.context().close()
  })

  test('follow the cluster by themselves', async () => {
    const page = await signedIn()
    await show(page, 'nodes')
    await page.getByRole('rowheader', { name: 'tc-3' }).waitFor()
    await house.fixture.node('tc-9', 'transcoder', { draining: true })
    await house.news()
    await page.getByRole('row', { name: /tc-9 Draining/ }).waitFor()
    await page.context().close()
  })

  test('tell where a live id would go', async () => {
    const page = await signedIn()
    await show(page, 'ring')
    await page.getByLabel('Where would this live id go?').fill('no such ID')
    await page.getByRole('button', { name: 'Look up' }).click()
    await page.getByText('Only small letters').waitFor()
    await page.getByLabel('Where would this live id go?').fill('anything')
    await page.getByRole('button', { name: 'Look up' }).click()
    await page.getByText(/“anything” goes to tc-\d/).waitFor()
    await page.context().close()
  })

  test('say so when the coordinator is away, and come back', async () => {
    const page = await signedIn()
    house.outage = 503
    await page.getByRole('link', { name: 'Channels' }).click()
    await page.getByText('That did not work: HTTP 503').waitFor()
    house.outage = undefined
    await page.getByRole('button', { name: 'Try again' }).click()
    await page.getByRole('link', { name: 'lecture' }).waitFor()
    await page.context().close()
  })
})

describe('channels', { timeout: limitMs }, () => {
  test('can be made, set up and deleted; the key is shown once', async () => {
    const page = await signedIn()
    await show(page, 'channels')
    await page.getByRole('button', { name: 'New channel' }).click()
    const dialog = page.getByRole('dialog')
    await dialog.getByLabel('Live id').fill('Not Good')
    await dialog.getByRole('button', { name: 'Create channel' }).click()
    await dialog.getByText('Only small letters').waitFor()
    await dialog.getByLabel('Live id').fill('market')
    await dialog.getByRole('button', { name: 'Create channel' }).click()
    await dialog.getByText('There is a channel with this live id already.').waitFor()
    await dialog.getByLabel('Live id').fill('studio')
    await dialog.getByRole('button', { name: 'Create channel' }).click()
    await page.getByText('Copy the stream key now').waitFor()
    const streamKey = (await page.getByRole('dialog').locator('code').textContent()) ?? ''
    expect(streamKey).toMatch(/^nc_/)
    await page.getByRole('dialog').getByRole('button', { name: 'Close' }).click()

    // The OBS settings know the key as long as this page does.
    await page.getByRole('heading', { name: 'Settings for OBS' }).waitFor()
    await page.locator('.obs').getByText(streamKey).waitFor()
    await page.getByLabel('Title of the show').fill('First light')
    await page.getByLabel('Keep a replay of each show').uncheck()
    await page.getByRole('button', { name: 'Save' }).click()
    await page.getByText('Saved').waitFor()
    await page.getByRole('heading', { name: 'First light' }).waitFor()
    expect(await house.fixture.api('GET', '/channels/studio')).toMatchObject({
      title: 'First light',
      record: false,
    })
    await page.reload()
    await page.getByRole('heading', { name: 'First light' }).waitFor()
    expect(await page.content()).not.toContain(streamKey)

    await page.getByRole('button', { name: 'Delete channel' }).click()
    await page.getByRole('dialog').getByRole('button', { name: 'Delete channel' }).click()
    await page.getByRole('heading', { name: 'Channels' }).waitFor()
    expect((await house.fixture.call('GET', '/api/v1/channels/studio')).status).toBe(404)
    await page.context().close()
  })

  test('are banned and let on again, each only after a question', async () => {
    await house.fixture.channel('rude')
    const page = await signedIn()
    await show(page, 'channels/rude')
    const ban = page.getByRole('button', { name: 'Ban channel' })
    await ban.click()
    await page.getByRole('dialog').getByRole('button', { name: 'Cancel' }).click()
    await ban.click()
    await page.getByRole('dialog').getByRole('button', { name: 'Ban channel' }).click()
    await page.getByText('nobody can publish to this channel').waitFor()
    const { bannedAt } = await house.fixture.api('GET', '/channels/rude')
    expect(bannedAt).not.toBeNull()
    await show(page, 'channels')
    await page.getByRole('row', { name: /rude.*Banned/ }).waitFor()
    await show(page, 'channels/rude')
    await page.getByRole('button', { name: 'Lift the ban' }).click()
    await page.getByRole('dialog').getByRole('button', { name: 'Lift the ban' }).click()
    await ban.waitFor()
    expect(await house.fixture.api('GET', '/channels/rude')).toMatchObject({ bannedAt: null })
    await page.context().close()
  })

  test('keys are added, revoked and replaced, each only after a question', async () => {
    await house.fixture.channel('keyed')
    const page = await signedIn()
    await show(page, 'channels/keyed')
    const keys = page.locator('section', { hasText: 'Stream keys' }).last()
    await page.getByRole('button', { name: 'New key' }).click()
    await page.getByRole('dialog').getByLabel('Label').fill('van')
    await page.getByRole('dialog').getByRole('button', { name: 'New key' }).click()
    await page.getByText('Copy the stream key now').waitFor()
    await page.keyboard.press('Escape')
    await keys.getByRole('listitem').filter({ hasText: 'van' }).getByRole('button').click()
    await page.getByRole('dialog').getByRole('button', { name: 'Cancel' }).click()
    expect(await keys.getByText('Revoked').count()).toBe(0)
    await keys.getByRole('listitem').filter({ hasText: 'van' }).getByRole('button').click()
    await page.getByRole('dialog').getByRole('button', { name: 'Revoke' }).click()
    await keys.getByText('Revoked').waitFor()
    await page.getByRole('button', { name: 'Replace all keys' }).click()
    await page.getByRole('dialog').getByRole('button', { name: 'Replace all keys' }).click()
    await page.getByText('Copy the stream key now').waitFor()
    await page.keyboard.press('Escape')
    await until('two revoked keys', async () => (await keys.getByText('Revoked').count()) === 2)
    await page.context().close()
  })
})

test('nothing came from another host, broke the policy or threw', () => {
  expect(complaints).toEqual([])
})
