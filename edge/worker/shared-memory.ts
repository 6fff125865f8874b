// Memory that all workers see. V8 does not count it when it decides whether to collect: objects that have long left
// the cache would keep theirs, gigabytes of it, until something else brings a collection about. So it is counted here.
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

type Collect = (options: { type: 'major'; execution: 'async' }) => unknown

export class SharedMemory {
  readonly #allowance: number
  readonly #collect: Collect
  #bytes = 0

  /** `allowance`: how much this thread takes, of its own or others', from one collection to the next. */
  constructor(allowance: number, collect: Collect = findCollect()) {
    this.#allowance = allowance
    this.#collect = collect
  }

  allocate(bytes: number): Buffer {
    this.taken(bytes)
    return Buffer.from(new SharedArrayBuffer(bytes))
  }

  /** This thread refers to so much more. */
  taken(bytes: number): void {
    this.#bytes += bytes
    if (this.#bytes < this.#allowance) return
    this.#bytes = 0
    this.#collect({ type: 'major', execution: 'async' })
  }
}

/** Node gives it to scripts that are started with a flag, and to contexts that are made after it was set. */
function findCollect(): Collect {
  setFlagsFromString('--expose-gc')
  return runInNewContext('gc') as Collect
}
