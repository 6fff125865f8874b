// Keeps a disk that hangs from taking all threads of the process with it: name look-ups, and with them leases,
// need the same few threads as the file system.

export class DiskTurns {
  readonly #limit: number
  #running = 0
  readonly #waiting: (() => void)[] = []

  constructor(limit: number) {
    this.#limit = limit
  }

  async run(work: () => Promise<void>): Promise<void> {
    if (this.#running >= this.#limit) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve))
    } else this.#running++
    try {
      await work()
    } finally {
      // The turn goes to the next one without being given back.
      const next = this.#waiting.shift()
      if (next) next()
      else this.#running--
    }
  }
}

/** Of all broadcasts of the process; libuv has four threads unless told otherwise. */
export const sharedDiskTurns = new DiskTurns(2)
