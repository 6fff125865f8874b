// What a node that does nothing tells of itself.
import type { Heartbeat } from '../../common/contract/membership.ts'

export const idleLoad: Heartbeat['load'] = {
  cpu: 0,
  memoryBytes: 0,
  streams: 0,
  cost: 0,
  viewers: 0,
  bitsInPerSecond: 0,
  bitsOutPerSecond: 0,
}

export function heartbeatOf(
  id: string,
  { role, instance, ...more }: Pick<Heartbeat, 'role' | 'instance'> & Partial<Heartbeat>,
): Heartbeat {
  return {
    role,
    instance,
    version: '0.0.0',
    pid: 1,
    region: null,
    latitude: null,
    longitude: null,
    weight: 1,
    draining: false,
    urls: { http: `http://${id}.test`, rtmp: `rtmp://${id}.test/live` },
    load: idleLoad,
    viewers: [],
    ...more,
  }
}
