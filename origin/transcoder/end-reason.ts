// Why a broadcast ends on this transcoder, and what its publisher hears of that.
import type { LeaseRelease } from '../../common/contract/placement.ts'
import { type Refusal, refusal } from '../../common/contract/refusal.ts'

export type EndReason = LeaseRelease['reason'] | 'lease-lost' | 'superseded'

export function refusalOfEnd(reason: EndReason): Refusal | undefined {
  switch (reason) {
    case 'lease-lost':
    case 'superseded':
      return refusal('lease-lost')
    case 'transcoder-stopping':
      return refusal('maintenance')
    case 'stopped':
      return refusal('broadcast-stopped')
    default:
      return undefined
  }
}
