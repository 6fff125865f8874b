// Keeps file descriptors back for those who may not be turned away: health answers and upstream, then publishers.
//
// A connection's own number tells how many are taken: the kernel gives the lowest that is free (POSIX.1, open), so all
// below it are. It costs nothing to keep count, and holds for all threads of the process.
import { readFileSync } from 'node:fs'
import type { Socket } from 'node:net'
import type { Clock } from '../../common/clock.ts'

export interface DescriptorsOptions {
  clock: Pick<Clock, 'monotonic'>
  /** Hears of each connection that finds too few. */
  onScarce: (limit: number) => void
  limit?: () => number | undefined
}

/** Of all: the first half for publishers, the second for nobody who comes by a public port. */
const reservedShare = 1 / 8
const mostReserved = 1_024
/** An operator may change the limit of a running process. */
const lookEveryMs = 1_000

export class Descriptors {
  readonly #options: DescriptorsOptions
  #limit = Infinity
  #lookAt = 0

  constructor(options: DescriptorsOptions) {
    this.#options = options
  }

  /** Whether this connection may stay; `unknown` is one that has yet to say what it is. */
  allows(socket: Socket, kind: 'viewer' | 'unknown'): boolean {
    const limit = this.#currentLimit()
    const reserved = Math.min(mostReserved, Math.floor(limit * reservedShare))
    const isAllowed = numberOf(socket) < limit - (kind === 'viewer' ? reserved : reserved / 2)
    if (!isAllowed) this.#options.onScarce(limit)
    return isAllowed
  }

  #currentLimit(): number {
    const now = this.#options.clock.monotonic()
    if (now >= this.#lookAt) {
      this.#lookAt = now + lookEveryMs
      this.#limit = (this.#options.limit ?? softLimit)() ?? this.#limit
    }
    return this.#limit
  }
}

/** Unknown where it is not on Linux, or no descriptor is left to look. */
function softLimit(): number | undefined {
  try {
    const soft = /^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'latin1'))?.[1]
    return soft === undefined ? undefined : Number(soft)
  } catch {
    return undefined
  }
}

/** Of the connection below, where it is TLS. Node does not document it, and has it on every Unix. */
function numberOf(socket: Socket): number {
  return (socket as { _handle?: { fd?: number } | null })._handle?.fd ?? -1
}
