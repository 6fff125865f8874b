// Who may connect at all: bans, connections and handshakes of an address, handshakes of the node. Decided before
// a byte is read, so that a flood costs no TLS.

import type { Clock } from '../../common/clock.ts'
import { type AdmissionTables, ownTables } from './admission-tables.ts'
import type { GuessGuard } from './guess-guard.ts'
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
const theNode = ''

export class ConnectionAdmission {
  readonly #clock: Clock
  readonly #limits: ConnectionLimits
  readonly #guesses: GuessGuard
  readonly #tables: Pick<AdmissionTables, 'connections' | 'handshakes' | 'nodeHandshakes'>

  constructor(
    clock: Clock,
    limits: ConnectionLimits,
    guesses: GuessGuard,
    tables: AdmissionTables = ownTables(),
  ) {
    this.#clock = clock
    this.#limits = limits
    this.#guesses = guesses
    this.#tables = tables
  }

  /** `address` is undefined for one to which the limits per address do not apply. */
  connect(address: string | undefined): ConnectionVerdict {
    const { address: perAddress, node } = this.#limits
    const { connections, handshakes, nodeHandshakes } = this.#tables
    const now = this.#clock.monotonic()
    if (address !== undefined) {
      if (this.#guesses.isBanned(address)) return { refused: 'address-banned' }
      if (connections.of(address) >= perAddress.connections) {
        return { refused: 'address-connections' }
      }
      const perSecond = perAddress.handshakesPerSecond
      const pace = { perSecond, burst: perSecond * addressBurstSeconds }
      const step = paceStep(handshakes.get(address), now, pace)
      if (step.waitMs > 0) return { refused: 'address-handshakes' }
      handshakes.set(address, step.wholeAt)
    }
    const perSecond = node.handshakesPerSecond
    const pace = { perSecond, burst: perSecond * nodeBurstSeconds }
    const step = paceStep(nodeHandshakes.get(theNode), now, pace)
    if (step.waitMs > maxWaitMs) return { refused: 'node-handshakes' }
    nodeHandshakes.set(theNode, step.wholeAt)
    const release = address === undefined ? () => {} : connections.hold(address)
    return { admitted: { waitMs: step.waitMs, release } }
  }
}
