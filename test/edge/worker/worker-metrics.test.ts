// What workers have counted is counted once, whoever dies and whoever asks meanwhile.
import { expect, test } from 'vitest'
import { Metrics, type MetricsJson } from '../../../common/metrics.ts'
import { WorkerMetrics } from '../../../edge/worker/worker-metrics.ts'
import { totalOf } from '../../support/worker-rig.ts'

async function pageWith(requests: number): Promise<MetricsJson> {
  const metrics = new Metrics('edge', 'pop-1', '0', true)
  metrics.counter({ name: 'requests_total', help: 'Requests.' }).inc(requests)
  metrics.gauge({ name: 'connections', help: 'Connections.' }).set(requests)
  return await metrics.toJson()
}

const total = (pages: readonly MetricsJson[], name: string) =>
  pages.reduce((sum, page) => sum + totalOf(page, name, {}), 0)

test('once of the dead, where two ask at the same time', async () => {
  const metrics = new WorkerMetrics()
  for (const requests of [1, 10]) {
    metrics.note(0, await pageWith(requests))
    metrics.retire(0)
  }
  const both = await Promise.all([metrics.all(new Set()), metrics.all(new Set())])
  for (const pages of both) expect(total(pages, 'requests_total')).toBe(11)
  expect(total(await metrics.all(new Set()), 'requests_total')).toBe(11)
})

test('once of one that dies while the past is added up', async () => {
  const metrics = new WorkerMetrics()
  for (const requests of [1, 10, 100]) {
    if (requests === 100) {
      metrics.note(0, await pageWith(requests))
      const asked = metrics.all(new Set([0]))
      metrics.retire(0)
      expect(total(await asked, 'requests_total')).toBe(111)
    } else {
      metrics.note(0, await pageWith(requests))
      metrics.retire(0)
    }
  }
  expect(total(await metrics.all(new Set()), 'requests_total')).toBe(111)
})

test('of one that does not answer only what adds up', async () => {
  const metrics = new WorkerMetrics()
  metrics.note(0, await pageWith(3))
  metrics.note(1, await pageWith(4))
  const pages = await metrics.all(new Set([1]))
  expect(total(pages, 'requests_total')).toBe(7)
  expect(total(pages, 'connections')).toBe(4)
})
