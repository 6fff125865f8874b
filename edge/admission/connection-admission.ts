// Who may connect at all: bans, connections and handshakes of an address, handshakes of the node. Decided before
// a byte is read, so that a flood costs no TLS.

import { BoundedTable } from '../../common/bounded-table.ts'
import type { Clock } from '../../common/clock.ts'
import type { GuessGuard } from './guess-guard.ts'
import { HeldCounts } from './held-counts.ts'
import { paceStep } from './pace.ts'

export interface ConnectionLimits {
  address: { connections: number; handshakesPerSecond: number }
  node: { handshakesPerSecond: number }
}

export type ConnectionRefusal =
  | 'address-banned'
  | 'address-connections'
  | 'address-handshakes'
  | 'node-handshakes'

export type ConnectionVerdict =
  /** To be taken up after `waitMs`; `release` when the connection is gone. */
  { admitted: { waitMs: number; release(): void } } | { refused: ConnectionRefusal }

/** Encoders and players that come back after a break of the network do so all at once. */
const addressBurstSeconds = 4
const nodeBurstSeconds = 1
/** The queue in front of the handshakes: who would wait longer is better off trying again. */
const maxWaitMs = 5_000
const maxEntries = 10_000

export class ConnectionAdmission {
  readonly #clock: Clock
  readonly #limits: ConnectionLimits
  readonly #guesses: GuessGuard
  readonly #connections = new HeldCounts()
  readonly #handshakes = new BoundedTable<number>(maxEntries)
  #nodeWholeAt: number | undefined

  constructor(clock: Clock, limits: ConnectionLimits, guesses: GuessGuard) {
    this.#clock = clock
    this.#limits = limits
    this.#guesses = guesses
  }

  /** `address` is undefined for one to which the limits per address do not apply. */
  connect(address: string | undefined): ConnectionVerdict {
    const { address: perAddress, node } = this.#limits
    const now = this.#clock.monotonic()
    if (address !== undefined) {
      if (this.#guesses.isBanned(address)) return { refused: 'address-banned' }
      if (this.#connections.of(address) >= perAddress.connections) {
        return { refused: 'address-connections' }
      }
      const perSecond = perAddress.handshakesPerSecond
      const pace = { perSecond, burst: perSecond * addressBurstSeconds }
      const step = paceStep(this.#handshakes.get(address), now, pace)
      if (step.waitMs > 0) return { refused: 'address-handshakes' }
      this.#handshakes.set(address, step.wholeAt)
    }
    const perSecond = node.handshakesPerSecond
    const pace = { perSecond, burst: perSecond * nodeBurstSeconds }
    const step = paceStep(this.#nodeWholeAt, now, pace)
    if (step.waitMs > maxWaitMs) return { refused: 'node-handshakes' }
    this.#nodeWholeAt = step.wholeAt
    const release = address === undefined ? () => {} : this.#connections.hold(address)
    return { admitted: { waitMs: step.waitMs, release } }
  }
}
