// The pure parts of the console: who is signed in, routes, the API's errors, OBS settings, facts and the ring's layout.
import { describe, expect, test } from 'vitest'
import { createTranslate } from '../../../web/common/translate.ts'
import { ApiClient, ApiError, problemOf } from '../../../web/console/api/client.ts'
import { kinds, obsSettings, pictures } from '../../../web/console/channels/obs-settings.ts'
import { errorText } from '../../../web/console/error-text.ts'
import { audioText, videoText } from '../../../web/console/media-facts.ts'
import { catalogs } from '../../../web/console/messages.ts'
import { arcPath, layOut, pointAt } from '../../../web/console/ring/ring-geometry.ts'
import { hrefOf, type Route, readRoute } from '../../../web/console/route.ts'
import { codeOf, TokenStore, tokenOf } from '../../../web/console/session/token-store.ts'
import { viewerBase, watchUrl } from '../../../web/console/viewer-url.ts'

const code = `nco_${'a'.repeat(32)}`

describe('signing in', () => {
  test.each([
    [`#code=${code}`, code],
    [`#x=1&code=${code}`, code],
    ['#code=', undefined],
    ['#code=nct_abc', undefined],
    ['#/streams', undefined],
    ['', undefined],
  ])('the fragment %s has the code %s', (fragment, expected) => {
    expect(codeOf(fragment)).toBe(expected)
  })

  test.each([
    [`  nct_${'b'.repeat(32)}\n`, `nct_${'b'.repeat(32)}`],
    [`Bearer nct_${'b'.repeat(32)}`, `nct_${'b'.repeat(32)}`],
    ['short', undefined],
    ['two words that are long enough', undefined],
    ['', undefined],
  ])('%j pasted is the token %s', (text, expected) => {
    expect(tokenOf(text)).toBe(expected)
  })

  test('a browser without storage signs in all the same', () => {
    const refuse = () => {
      throw new Error('denied')
    }
    const store = new TokenStore({ getItem: refuse, setItem: refuse, removeItem: refuse })
    store.write('token')
    store.write(null)
    expect(store.read()).toBeNull()
  })
})

describe('routes', () => {
  test.each<[string, Route]>([
    ['', { screen: 'streams' }],
    ['#/nodes', { screen: 'nodes' }],
    ['#/channels', { screen: 'channels' }],
    ['#/channels/demo-1', { screen: 'channel', liveId: 'demo-1' }],
    ['#/nowhere', { screen: 'streams' }],
    ['#/channels/../x', { screen: 'streams' }],
  ])('%s', (fragment, route) => {
    expect(readRoute(fragment)).toEqual(route)
  })

  test.each<Route>([{ screen: 'ring' }, { screen: 'channel', liveId: 'demo' }])(
    'the way to %j leads there',
    (route) => expect(readRoute(hrefOf(route))).toEqual(route),
  )
})

describe('API client', () => {
  const answering = (status: number, text: string) => {
    const asked: { url: string; method?: string; headers: Record<string, string> }[] = []
    const signedOut: number[] = []
    const client = new ApiClient({
      token: 'secret',
      onSignedOut: () => signedOut.push(status),
      fetch: (url, init) => {
        asked.push({ url, ...init })
        return Promise.resolve({ status, ok: status < 300, text: () => Promise.resolve(text) })
      },
    })
    return { client, asked, signedOut }
  }

  test('sends the bearer in a header and never in the address', async () => {
    const { client, asked } = answering(200, '{"channels":[]}')
    expect(await client.channels()).toEqual([])
    expect(asked[0]).toMatchObject({
      url: '/api/v1/channels',
      method: 'GET',
      headers: { authorization: 'Bearer secret' },
    })
    expect(asked[0]?.url).not.toContain('secret')
  })

  test('takes an empty answer for done', async () => {
    expect(await answering(204, '').client.deleteRecording('a/b')).toBeUndefined()
  })

  test('tells when the bearer is not accepted any more', async () => {
    const problem = { type: 'urn:nearcast:problem:bearer-invalid', detail: 'Send …' }
    const { client, signedOut } = answering(401, JSON.stringify(problem))
    await expect(client.nodes()).rejects.toMatchObject({ status: 401, code: 'bearer-invalid' })
    expect(signedOut).toEqual([401])
  })

  test('a network that is gone is an error with a code too', async () => {
    const client = new ApiClient({ token: null, fetch: () => Promise.reject(new TypeError('x')) })
    await expect(client.nodes()).rejects.toMatchObject({ status: 0, code: 'no-answer' })
  })

  test.each([
    ['a problem', '{"type":"urn:nearcast:problem:not-live","detail":"…"}', 'not-live'],
    ['a problem of somebody else', '{"type":"about:blank"}', 'unexpected'],
    ['a page of a proxy', '<h1>Bad gateway</h1>', 'unexpected'],
    ['nothing', '', 'unexpected'],
  ])('reads %s', (_name, text, expected) => {
    expect(problemOf(502, text).code).toBe(expected)
  })
})

describe('errors in words', () => {
  test.each(['en', 'zh-CN'] as const)(
    '%s has a sentence for known and unknown codes',
    (language) => {
      const t = createTranslate(language, catalogs)
      expect(errorText(new ApiError(409, 'live-id-taken', 'x'), t)).toBe(
        catalogs[language]['error.live-id-taken'],
      )
      expect(errorText(new ApiError(400, 'invalid-request', 'json.name: short'), t)).toContain(
        'json.name: short',
      )
      expect(errorText(new ApiError(500, 'hasOwnProperty', 'odd'), t)).toContain('odd')
      expect(errorText('thrown text', t)).toContain('thrown text')
    },
  )
})

describe('OBS settings', () => {
  test.each(pictures.flatMap((picture) => kinds.map((kind) => [picture, kind] as const)))(
    '%s %s keeps what the packager relies on',
    (picture, kind) => {
      const settings = obsSettings(picture, kind)
      expect(settings).toMatchObject({ rateControl: 'CBR', encoder: 'x264' })
      expect(settings.keyframeIntervalSeconds).toBe(2)
    },
  )

  test('720p takes 2 500 kb/s, and more for games', () => {
    expect(obsSettings('720p', 'show').videoKilobitsPerSecond).toBe(2_500)
    expect(obsSettings('720p', 'game').videoKilobitsPerSecond).toBeGreaterThan(2_500)
  })
})

test('facts of a stream are told as encoders tell them', () => {
  const video = {
    codec: 'avc1.64001f',
    width: 1280,
    height: 720,
    framesPerSecond: 29.970_03,
    bitsPerSecond: 2_500_000,
    keyframeIntervalSeconds: 2,
  }
  const audio = { codec: 'mp4a.40.2', sampleRate: 44_100, channels: 1, bitsPerSecond: 0 }
  expect(videoText(video, 'en').replaceAll('\u00a0', ' ')).toBe(
    'H.264 1280×720 29.97 fps, 2.5 Mb/s',
  )
  expect(audioText(audio, 'en')).toBe('AAC 44.1 kHz mono')
  expect(audioText({ ...audio, codec: 'flac', channels: 6 }, 'en')).toBe('flac 44.1 kHz 6 ch')
})

describe('where to watch', () => {
  const edge = (id: string, urls: object, viewers = 0, health = 'ok') =>
    ({ id, role: 'edge', health, urls, load: { viewers } }) as never

  test.each([
    [{ https: 'https://a.example', http: 'http://a.example' }, 'https://a.example'],
    [{ https: 'https://localhost:8443', http: 'http://localhost:8080' }, 'http://localhost:8080'],
    [{ http: 'http://10.0.0.1' }, 'http://10.0.0.1'],
    [{}, undefined],
  ])('%j', (urls, expected) => {
    expect(viewerBase({ urls })).toBe(expected)
  })

  test('the least watched POP that is up', () => {
    const nodes = [
      edge('a', { https: 'https://a' }, 9),
      edge('b', { https: 'https://b' }, 0, 'gone'),
      edge('c', { https: 'https://c' }, 3),
      edge('d', {}, 0),
    ]
    expect(watchUrl(nodes, 'demo')).toBe('https://c/watch/demo')
    expect(watchUrl(nodes, 'demo', 'id')).toBe('https://c/watch/demo?replay=id')
    expect(watchUrl([], 'demo')).toBeUndefined()
  })
})

describe('layout of the ring', () => {
  const node = (id: string, share: number) => ({
    id,
    share,
    weight: 1,
    streams: 0,
    load: 0,
    cap: 0,
  })
  const stream = (liveId: string, ring: string, transcoder = ring) => ({
    ...{ liveId, ring, transcoder, epoch: 1, cost: 0 },
  })

  test('arcs fill the circle in the order of the ids', () => {
    const { arcs } = layOut({ nodes: [node('b', 0.25), node('a', 0.75)], streams: [] })
    expect(arcs).toEqual([
      { id: 'a', from: 0, to: 0.75 },
      { id: 'b', from: 0.75, to: 1 },
    ])
  })

  test('each live id lies on the arc of its node, and says when it runs elsewhere', () => {
    const { spots } = layOut({
      nodes: [node('a', 0.5), node('b', 0.5)],
      streams: [stream('y', 'b'), stream('x', 'b', 'a'), stream('z', 'gone')],
    })
    expect(spots.map(({ liveId, node: on, isMoved }) => [liveId, on, isMoved])).toEqual([
      ['x', 'b', true],
      ['y', 'b', false],
    ])
    for (const { at } of spots) {
      expect(at).toBeGreaterThan(0.5)
      expect(at).toBeLessThan(1)
    }
  })

  test('a ring without nodes or shares is drawn as nothing', () => {
    expect(layOut({ nodes: [], streams: [stream('x', 'a')] })).toEqual({ arcs: [], spots: [] })
    expect(layOut({ nodes: [node('a', 0)], streams: [] }).arcs).toEqual([
      { id: 'a', from: 0, to: 0 },
    ])
  })

  test('turns begin at the top and go clockwise', () => {
    const rounded = ({ x, y }: { x: number; y: number }) => [Math.round(x), Math.round(y)]
    expect([0, 0.25, 0.5, 0.75].map((at) => rounded(pointAt(at, 10)))).toEqual([
      [0, -10],
      [10, 0],
      [0, 10],
      [-10, 0],
    ])
    expect(arcPath({ from: 0, to: 1 }, 10)).toBe('M 0 -10 A 10 10 0 0 1 0 10 A 10 10 0 0 1 0 -10')
  })
})
