// The smallest commit log that keeps one writer per segment: what the model of the leases is measured by.
import type { Holder } from '../../common/contract/placement.ts'

export type Commit = 'committed' | 'duplicate' | 'fenced'

export class ReferenceHome {
  /** The newest holder that was ever seen. */
  holder: Holder | undefined
  /** By segment number, in the order in which they were committed. */
  readonly committed = new Map<number, Holder>()

  /** False: somebody newer was seen, or somebody else under the same epoch. */
  follow({ epoch, instance }: Holder): boolean {
    const holder = { epoch, instance }
    const { holder: known } = this
    if (known && holder.epoch < known.epoch) return false
    if (known?.epoch === holder.epoch && known.instance !== holder.instance) return false
    this.holder = holder
    return true
  }

  get nextNumber(): number {
    return this.committed.size
  }

  commit(number: number, by: Holder): Commit {
    if (!this.follow(by)) return 'fenced'
    if (this.committed.has(number)) return 'duplicate'
    this.committed.set(number, by)
    return 'committed'
  }
}
