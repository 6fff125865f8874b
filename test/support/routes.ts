// A route as the coordinator pushes it, for tests that care where it leads and not what it says of the broadcast.
import type { Route } from '../../common/contract/membership.ts'

export function routeTo(liveId: string, transcoder: { id: string; url: string }): Route {
  return {
    liveId,
    broadcastId: '0190f8a2-7f4e-7c3a-9b1d-2f5e8a6c4d11',
    broadcastTag: 'abcdefgh12',
    startedAt: 0,
    takes: 1,
    epoch: 1,
    instance: '5a3ee1a8-6d5f-4c30-9a5e-2f2a34a4ad11',
    connection: 'c'.repeat(16),
    home: null,
    transcoder,
  }
}
