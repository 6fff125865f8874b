// Limits per address count the network of an IPv6 host as one, leave exempt networks alone, and are counted.
import { expect, test } from 'vitest'
import { Metrics } from '../../../common/metrics.ts'
import { edgeConfigSchema } from '../../../config/schema.ts'
import { Admission } from '../../../edge/admission/admission.ts'
import { FakeClock } from '../../support/fake-clock.ts'
import { captureLog } from '../front/support.ts'

function admissionOf(limits: Record<string, unknown>) {
  const { admission } = edgeConfigSchema.parse({
    role: 'edge',
    node: { id: 'pop-1' },
    cluster: { coordinator: 'http://127.0.0.1:1', secret: 'x'.repeat(32) },
    admission: limits,
  })
  const metrics = new Metrics('edge', 'pop-1', '0')
  const logged = captureLog()
  const options = { limits: admission, clock: new FakeClock(), log: logged.log, metrics }
  return { admission: new Admission(options), metrics, logged }
}

const one = { address: { connections: 1 } }

test('a /64 counts as one address, and is named so', async () => {
  const { admission, metrics, logged } = admissionOf(one)
  expect(admission.connect('2001:db8:1:2::1')).toHaveProperty('admitted')
  expect(admission.connect('2001:db8:1:2:3:4:5:6')).toEqual({ refused: 'address-connections' })
  expect(admission.connect('2001:db8:1:3::1')).toHaveProperty('admitted')
  expect(await logged.until('connection refused')).toMatchObject({ reason: 'address-connections' })
  expect(await metrics.registry.metrics()).toContain(
    'nearcast_connections_refused_total{reason="address-connections"} 1',
  )
})

test('IPv4 addresses count one by one, written either way', () => {
  const { admission } = admissionOf(one)
  expect(admission.connect('203.0.113.1')).toHaveProperty('admitted')
  expect(admission.connect('203.0.113.2')).toHaveProperty('admitted')
  expect(admission.connect('::ffff:203.0.113.1')).toEqual({ refused: 'address-connections' })
})

test('exempt networks are not counted', () => {
  const { admission } = admissionOf({ ...one, exempt: ['10.0.0.0/8'] })
  for (let i = 0; i < 10; i++) expect(admission.connect('10.1.2.3')).toHaveProperty('admitted')
})
