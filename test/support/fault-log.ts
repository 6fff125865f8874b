// What a watcher of a live stream found wrong, with the texts that show it.

export interface Fault {
  rule: string
  /** Which playlist, MPD or object. */
  where: string
  atMs: number
  /** Newest last. */
  texts: string[]
}

const kept = 50

export class FaultLog {
  readonly faults: Fault[] = []
  readonly #seen = new Set<string>()
  /** Also those that were not kept. */
  count = 0

  /** The same sentence about the same thing is kept once. */
  add(where: string, rule: string, ...texts: string[]): void {
    this.count++
    const key = `${where} ${rule}`
    if (this.#seen.has(key) || this.faults.length >= kept) return
    this.#seen.add(key)
    this.faults.push({ rule, where, atMs: Date.now(), texts })
  }

  /** One line each: what a failing test should show first. */
  get summary(): string[] {
    return this.faults.map(({ where, rule }) => `${where}: ${rule}`)
  }
}
