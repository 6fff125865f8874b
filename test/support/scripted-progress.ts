// What next hops say of how far media has got, said by a test.
import type { Progress, ProgressSource } from '../../common/contract/progress.ts'

export class ScriptedProgress {
  readonly #listeners = new Map<string, Set<(progress: Progress) => void>>()

  /** The source of one next hop, by its URL. */
  of = (url: string): ProgressSource => ({
    watch: (connection, listener) => {
      const listeners = this.#listeners.get(`${url} ${connection}`) ?? new Set()
      this.#listeners.set(`${url} ${connection}`, listeners.add(listener))
      return { [Symbol.dispose]: () => void listeners.delete(listener) }
    },
  })

  say(url: string, connection: string, progress: { takenMs: number; neededMs: number }): void {
    for (const listener of this.#listeners.get(`${url} ${connection}`) ?? []) {
      listener({ epoch: 1, liveId: 'live-1', ...progress })
    }
  }

  /** Connections that somebody still wants to hear of. */
  get watched(): number {
    return [...this.#listeners.values()].reduce((sum, { size }) => sum + size, 0)
  }
}
