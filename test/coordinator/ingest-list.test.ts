import { expect, test } from 'vitest'
import { distanceKm, ingestList } from '../../coordinator/ingest-list.ts'
import { idleLoad } from '../support/heartbeats.ts'
import { CoordinatorFixture } from './coordinator-fixture.ts'

const frankfurt = { latitude: 50.1, longitude: 8.7, region: 'eu-central' }
const tokyo = { latitude: 35.7, longitude: 139.7, region: null }

async function edges(fixture: CoordinatorFixture, ...settings: object[]) {
  for (const [i, more] of settings.entries()) {
    await fixture.node(`pop-${i}`, 'edge', {
      urls: { rtmps: `rtmps://pop-${i}.test:443/live` },
      ...more,
    })
  }
}

interface Ingests {
  ingests: { name: string; availability: number; default: boolean; url_template: string }[]
}

const namesAt = async (fixture: CoordinatorFixture, query = '') =>
  (await fixture.call<Ingests>('GET', `/ingests${query}`, undefined, null)).body.ingests.map(
    ({ name }) => name,
  )

test('is in the shape that encoders read', async () => {
  await using fixture = await CoordinatorFixture.start()
  await edges(fixture, frankfurt)
  const { body } = await fixture.call<Ingests>('GET', '/api/v2/ingests', undefined, null)
  expect(body).toEqual({
    ingests: [
      {
        _id: expect.any(Number),
        availability: 1,
        default: true,
        name: 'eu-central (pop-0)',
        url_template: 'rtmps://pop-0.test:443/live/{stream_key}',
        url_template_secure: 'rtmps://pop-0.test:443/live/{stream_key}',
        priority: 0,
      },
    ],
  })
})

test('is nearest first where the place of the caller is given', async () => {
  await using fixture = await CoordinatorFixture.start()
  await edges(fixture, tokyo, frankfurt, { region: 'nowhere' })
  const eu = 'eu-central (pop-1)'
  expect(await namesAt(fixture, '?latitude=48.8&longitude=2.3')).toEqual([
    eu,
    'pop-0',
    'nowhere (pop-2)',
  ])
  expect(await namesAt(fixture, '?latitude=37.5&longitude=127')).toEqual([
    'pop-0',
    eu,
    'nowhere (pop-2)',
  ])
})

test('is least loaded first otherwise, and who takes nobody comes last', async () => {
  await using fixture = await CoordinatorFixture.start()
  const load = (cpu: number) => ({
    load: { ...idleLoad, cpu },
  })
  await edges(fixture, load(0.9), load(0.2), { draining: true }, load(0.5))
  const { body } = await fixture.call<Ingests>('GET', '/ingests', undefined, null)
  expect(body.ingests.map(({ name, availability }) => [name, availability])).toEqual([
    ['pop-1', 1],
    ['pop-3', 1],
    ['pop-0', 1],
    ['pop-2', 0],
  ])
})

test('plain RTMP is the plain template where an edge offers it', () => {
  const node = {
    id: 'pop-1',
    role: 'edge' as const,
    instance: crypto.randomUUID(),
    version: '0',
    pid: 1,
    region: null,
    latitude: null,
    longitude: null,
    weight: 1,
    draining: false,
    urls: { rtmp: 'rtmp://h/live', rtmps: 'rtmps://h/live' },
    load: idleLoad,
  }
  const [ingest] = ingestList([node, { ...node, id: 'pop-2', urls: {} }], undefined)
  expect(ingest).toMatchObject({
    url_template: 'rtmp://h/live/{stream_key}',
    url_template_secure: 'rtmps://h/live/{stream_key}',
  })
})

test.each([
  ['Paris to London', 48.8566, 2.3522, 51.5074, -0.1278, 344],
  ['over the date line', 0, 179, 0, -179, 222],
  ['to the antipode', 0, 0, 0, 180, 20_015],
])('distance %s', (_name, latitude, longitude, toLatitude, toLongitude, km) => {
  const to = { latitude: toLatitude, longitude: toLongitude }
  expect(Math.round(distanceKm({ latitude, longitude }, to))).toBe(km)
})
