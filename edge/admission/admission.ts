// What a POP lets in, and how much of it: one judge for connections and publishers, with its counts and log lines.
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { Clock } from '../../common/clock.ts'
import type { Logger } from '../../common/log.ts'
import { LogBudget } from '../../common/log-budget.ts'
import type { Metrics } from '../../common/metrics.ts'
import { addressGroup } from '../../common/net/addresses.ts'
import { createNetworkList, type NetworkList } from '../../common/net/allowed-networks.ts'
import type { EdgeConfig } from '../../config/schema.ts'
import type { AdmissionTables } from './admission-tables.ts'
import { BytesOut } from './bytes-out.ts'
import { ConnectionAdmission, type ConnectionVerdict } from './connection-admission.ts'
import { GuessGuard } from './guess-guard.ts'
import { type NoWay, PublishAdmission, type PublishAttempt } from './publish-admission.ts'
import { RequestPace } from './request-pace.ts'

export interface AdmissionOptions {
  limits: EdgeConfig['admission']
  /** Load balancers: their own requests, health checks, do not count. */
  trustedProxies?: EdgeConfig['trustedProxies']
  clock: Clock
  log: Logger
  metrics?: Metrics
  /** Where several threads let in together: what they count, and who is to hear of a wrong key. */
  shared?: { tables: AdmissionTables; onFailed(address: string): void }
}

export class Admission {
  /** Before each HTTP request. */
  readonly requests: RequestPace
  readonly #log: Logger
  readonly #lines: LogBudget
  readonly #exempt: NetworkList
  readonly #guesses: GuessGuard
  readonly #connections: ConnectionAdmission
  readonly #publishes: PublishAdmission
  readonly #counters: ReturnType<typeof counters>
  readonly #limits: EdgeConfig['admission']
  readonly #bytesOut: BytesOut | undefined

  constructor({ limits, trustedProxies = [], clock, log, metrics, shared }: AdmissionOptions) {
    const guesses = new GuessGuard(clock, limits.guessing)
    this.#guesses = guesses
    this.#log = log
    this.#lines = new LogBudget({ clock, log })
    this.#limits = limits
    this.#exempt = createNetworkList(limits.exempt)
    this.#connections = new ConnectionAdmission(clock, limits, guesses, shared?.tables)
    this.#publishes = new PublishAdmission({
      clock,
      limits,
      guesses,
      onBan: (address) => this.#onBan(address),
      ...shared,
    })
    this.#counters = counters(metrics)
    const { requestsPerSecond, viewerBitsPerSecond } = limits.address
    const isBounded = viewerBitsPerSecond !== undefined
    this.requests = new RequestPace({
      perSecond: requestsPerSecond,
      exempt: [this.#exempt, createNetworkList(trustedProxies)],
      cells: shared?.tables.requests,
      ...(isBounded && { bytesPerSecond: viewerBitsPerSecond / 8 }),
      byteCells: shared?.tables.bytes,
      clock,
      onRefused: () => this.#counters.requests?.inc(),
    })
    if (isBounded) {
      this.#bytesOut = new BytesOut(clock, (address, bytes) => this.requests.charge(address, bytes))
    }
    metrics?.gauge(
      {
        name: 'addresses_banned',
        help: 'Addresses that are banned now for guessing keys.',
        overThreads: 'max',
      },
      (gauge) => gauge.set(guesses.banned),
    )
  }

  /** Before anything is read of a connection; what is sent over its socket counts. */
  connect(address: string, socket?: Socket): ConnectionVerdict {
    const verdict = this.#connections.connect(this.#countedAs(address))
    if ('refused' in verdict) {
      this.#counters.refused?.inc({ reason: verdict.refused })
      if (this.#lines.take()) {
        this.#log.warn({ address, reason: verdict.refused }, 'connection refused')
      }
    } else if (socket) this.#bytesOut?.watch(address, socket)
    return verdict
  }

  /** Around the search for a next hop of a publisher. */
  publish<Started extends { started: unknown }>(
    socket: Duplex,
    address: string,
    attempt: PublishAttempt,
    open: () => Promise<Started | NoWay>,
  ): Promise<Started | NoWay> {
    return this.#publishes.publish(socket, this.#countedAs(address), attempt, open)
  }

  /** Another thread has told of a wrong key. */
  failedElsewhere(address: string): void {
    this.#guesses.failedElsewhere(address)
  }

  #countedAs(address: string): string | undefined {
    return this.#exempt.includes(address) ? undefined : addressGroup(address)
  }

  #onBan(address: string): void {
    const { failuresPerMinute, banMs } = this.#limits.guessing
    this.#counters.bans?.inc()
    if (!this.#lines.take()) return
    this.#log.warn(
      { address, reason: 'address-banned', failures: failuresPerMinute, banMs },
      'address banned: too many wrong stream keys',
    )
  }
}

function counters(metrics: Metrics | undefined) {
  return {
    refused: metrics?.counter({
      name: 'connections_refused_total',
      help: 'Connections closed before anything was read of them.',
      labels: ['reason'] as const,
    }),
    requests: metrics?.counter({
      name: 'requests_refused_total',
      help: 'HTTP requests of addresses that make too many or are sent too much, answered 503.',
    }),
    bans: metrics?.counter({
      name: 'address_bans_total',
      help: 'Addresses banned for guessing stream keys.',
    }),
  }
}
