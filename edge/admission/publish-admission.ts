// Who may publish: streams and bits a second of an address, a key and the node, and the answers to wrong keys,
// which come late enough to say nothing but no.
import type { Duplex } from 'node:stream'
import { type Clock, delay } from '../../common/clock.ts'
import { isKeyVerdict, type Refusal, refusal } from '../../common/contract/refusal.ts'
import { type AdmissionTables, ownTables, type RateTable } from './admission-tables.ts'
import { ByteRate, rateHoldsMs } from './byte-rate.ts'
import type { GuessGuard } from './guess-guard.ts'
import { HeldCounts } from './held-counts.ts'
import { paceStep } from './pace.ts'

export interface PublishLimits {
  address: { streams: number; bitsPerSecond: number }
  key: { streams: number; publishesPerSecond: number; bitsPerSecond: number }
  node: { streams: number; bitsPerSecond: number }
}

/** A publish on its way, as the relay tells it. */
export interface PublishAttempt {
  keyDigest: string
  signal: AbortSignal
  /** Ends the publish, also once it is live. */
  refuse(reason: Refusal): void
}

/** What the search for a next hop comes to, where it finds none. */
export type NoWay = { refused: Refusal } | { failed: string }

export interface PublishAdmissionOptions {
  clock: Clock
  limits: PublishLimits
  guesses: GuessGuard
  onBan(address: string): void
  /** A wrong key came from there. */
  onFailed?(address: string): void
  tables?: AdmissionTables
}

/**
 * Verdicts on a key are given at multiples of this after the publish: whether a key is unknown or was revoked
 * takes the coordinator different time, and nobody shall measure which.
 */
const answerGridMs = 250
const keyBurst = 10
const theNode = ''

export class PublishAdmission {
  readonly #options: PublishAdmissionOptions
  readonly #streams: AdmissionTables['streams']
  readonly #publishes: AdmissionTables['publishes']
  readonly #rates: AdmissionTables['rates']
  /** Streams of each address in this thread. */
  readonly #here = new HeldCounts()
  /** Measured in this thread: of the addresses that have streams here, and so as many as those. */
  readonly #addressRates = new Map<string, ByteRate>()
  readonly #nodeRate: ByteRate
  /** Publishers that are in: their further ways up are no business of ours. */
  readonly #admitted = new WeakSet<Duplex>()

  constructor(options: PublishAdmissionOptions) {
    this.#options = options
    this.#nodeRate = new ByteRate(options.clock)
    const { streams, publishes, rates } = options.tables ?? ownTables()
    this.#streams = streams
    this.#publishes = publishes
    this.#rates = rates
  }

  /**
   * Lets `open` decide about whoever is within the limits, holds back its verdicts on keys, and keeps watching
   * the stream. Once it has found a way for a publisher it is simply asked again. `address` is undefined for one to
   * which the limits per address do not apply.
   */
  async publish<Started extends { started: unknown }>(
    socket: Duplex,
    address: string | undefined,
    attempt: PublishAttempt,
    open: () => Promise<Started | NoWay>,
  ): Promise<Started | NoWay> {
    const { clock } = this.#options
    if (this.#admitted.has(socket)) return await open()
    const refused = this.#refusalOf(address, attempt.keyDigest)
    if (refused) return { refused }
    const startedAt = clock.monotonic()
    const release = this.#hold(address, attempt.keyDigest)
    const outcome = await open()
    if ('started' in outcome && !socket.destroyed) {
      this.#admitted.add(socket)
      socket.once('close', release)
      this.#watch(socket, address, attempt)
      return outcome
    }
    release()
    if (!('refused' in outcome) || !isKeyVerdict(outcome.refused.code)) return outcome
    return { refused: await this.#answer(outcome.refused, address, startedAt, attempt.signal) }
  }

  #refusalOf(address: string | undefined, keyDigest: string): Refusal | undefined {
    const { clock, guesses, limits } = this.#options
    const streams = this.#streams
    const now = clock.monotonic()
    if (address !== undefined && guesses.isBanned(address)) return refusal('address-banned')
    const pace = { perSecond: limits.key.publishesPerSecond, burst: keyBurst }
    const step = paceStep(this.#publishes.get(keyDigest), now, pace)
    if (step.waitMs > 0) return refusal('too-many-attempts')
    this.#publishes.set(keyDigest, step.wholeAt)
    if (streams.key.of(keyDigest) >= limits.key.streams) return refusal('too-many-streams')
    if (address !== undefined) {
      if (
        streams.address.of(address) >= limits.address.streams ||
        this.#rates.address.of(address, now - rateHoldsMs) >= limits.address.bitsPerSecond
      ) {
        return refusal('too-many-streams', 'Too many streams come from this address.')
      }
    }
    const isFull =
      streams.node.of(theNode) >= limits.node.streams ||
      this.#rates.node.of(theNode, now - rateHoldsMs) >= limits.node.bitsPerSecond
    return isFull ? refusal('node-full') : undefined
  }

  #hold(address: string | undefined, keyDigest: string): () => void {
    const releases = [this.#streams.key.hold(keyDigest), this.#streams.node.hold(theNode)]
    if (address !== undefined) {
      releases.push(this.#streams.address.hold(address), this.#here.hold(address))
      if (!this.#addressRates.has(address)) {
        this.#addressRates.set(address, new ByteRate(this.#options.clock))
      }
    }
    return () => {
      for (const release of releases) release()
      if (address !== undefined && this.#here.of(address) === 0) {
        this.#addressRates.delete(address)
        this.#rates.address.set(address, 0, this.#options.clock.monotonic())
      }
    }
  }

  #watch(socket: Duplex, address: string | undefined, attempt: PublishAttempt): void {
    const { clock, limits } = this.#options
    const { bitsPerSecond: most } = limits.key
    const rate = new ByteRate(clock)
    const ofAddress = address === undefined ? undefined : this.#addressRates.get(address)
    const tell = (table: RateTable, name: string, told: number | undefined) => {
      if (told !== undefined) table.set(name, told, clock.monotonic())
    }
    socket.on('data', (bytes: Buffer) => {
      tell(this.#rates.node, theNode, this.#nodeRate.add(bytes.length))
      if (address !== undefined) {
        tell(this.#rates.address, address, ofAddress?.add(bytes.length))
      }
      const bitsPerSecond = rate.add(bytes.length)
      if (bitsPerSecond === undefined || bitsPerSecond <= most) return
      const sent = (bitsPerSecond / 1e6).toFixed(1)
      const sentence = `The stream has ${sent} Mb/s; at most ${(most / 1e6).toFixed(1)} are accepted.`
      attempt.refuse(refusal('bitrate-too-high', sentence))
    })
  }

  async #answer(
    verdict: Refusal,
    address: string | undefined,
    startedAt: number,
    signal: AbortSignal,
  ): Promise<Refusal> {
    const { clock, guesses, onBan, onFailed } = this.#options
    // Tries that were under way when the ban began must not learn more.
    const wasBanned = address !== undefined && guesses.isBanned(address)
    const guess =
      address === undefined || wasBanned ? { delayMs: 0, isBan: false } : guesses.failed(address)
    if (address !== undefined && !wasBanned) onFailed?.(address)
    if (guess.isBan) onBan(address!)
    const elapsedMs = clock.monotonic() - startedAt
    const steps = Math.floor(elapsedMs / answerGridMs) + 1
    await delay(clock, steps * answerGridMs - elapsedMs + guess.delayMs, signal)
    return wasBanned || guess.isBan ? refusal('address-banned') : verdict
  }
}
