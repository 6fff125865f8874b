// Every public port of a POP, opened together and closed together.

import { join } from 'node:path'
import type { Clock } from '../../common/clock.ts'
import type { Logger } from '../../common/log.ts'
import { LogBudget } from '../../common/log-budget.ts'
import type { Metrics } from '../../common/metrics.ts'
import { hostOf } from '../../common/net/addresses.ts'
import { createNetworkList } from '../../common/net/allowed-networks.ts'
import { createHostList } from '../../common/net/host-list.ts'
import {
  HttpConnections,
  type HttpHandlers,
  type HttpLimits,
  type HttpRoad,
} from '../../common/net/http-connections.ts'
import type { ListenTarget } from '../../common/net/listen.ts'
import { Listener } from '../../common/net/listener.ts'
import type { EdgeConfig } from '../../config/schema.ts'
import type { Admission } from '../admission/admission.ts'
import type { Certificates } from './certificate-set.ts'
import { CertificateStore } from './certificates.ts'
import type { RtmpHandler } from './connection-info.ts'
import { Descriptors } from './descriptors.ts'
import { Gate } from './gate.ts'
import { type Ends, PeerBook } from './peer-book.ts'
import { createPlainHttpServer, createPlainRtmpServer } from './plain-listeners.ts'
import { createTlsPort } from './tls-listener.ts'

export interface FrontDoorHandlers extends HttpHandlers {
  onRtmp: RtmpHandler
}

export interface FrontDoorOptions {
  config: Pick<
    EdgeConfig,
    'tls' | 'http' | 'rtmp' | 'ingest' | 'dataDir' | 'publicUrls' | 'trustedProxies' | 'hosts'
  >
  handlers: FrontDoorHandlers
  /** Below node:http; without it that answers everything. */
  road?: HttpRoad
  /** Without it everybody is let in. */
  admission?: Pick<Admission, 'connect'>
  limits?: Partial<HttpLimits & FrontDoorLimits>
  /** Of one that watches over them for several doors; without it the door has its own. */
  certificates?: Certificates
  /** For doors that share their ports. */
  shared?: { ticketKeys: Buffer; reusePort: boolean }
  clock: Clock
  log: Logger
  metrics?: Metrics
}

export interface FrontDoorLimits {
  handshakeTimeoutMs: number
  /** How long connections may go on when the door closes. */
  drainLimitMs: number
}

export interface FrontDoorAddress {
  tlsPort: number
  httpPort: number | undefined
  rtmpPort: number | undefined
}

const defaultLimits: FrontDoorLimits = { handshakeTimeoutMs: 10_000, drainLimitMs: 5_000 }

export class FrontDoor implements AsyncDisposable {
  readonly #options: FrontDoorOptions
  readonly #limits: FrontDoorLimits
  readonly #certificates: Certificates
  readonly #ownCertificates: CertificateStore | undefined
  readonly #http: HttpConnections
  readonly #listeners = new Map<'tls' | 'http' | 'rtmp', Listener>()
  readonly #counters: ReturnType<typeof counters>
  readonly #peers = new PeerBook()
  readonly #gate: Gate
  readonly #descriptors: Descriptors

  constructor(options: FrontDoorOptions) {
    const { config, handlers, clock, log } = options
    this.#options = options
    this.#limits = { ...defaultLimits, ...options.limits }
    this.#ownCertificates = options.certificates ? undefined : certificateStoreOf(options)
    this.#certificates = options.certificates ?? this.#ownCertificates!
    this.#http = new HttpConnections({
      handlers,
      road: options.road,
      hosts: createHostList(config.hosts),
      log,
      ...(options.limits && { limits: options.limits }),
    })
    this.#counters = counters(options.metrics)
    const lines = new LogBudget({ clock, log })
    this.#descriptors = new Descriptors({
      clock,
      onScarce: (limit) => {
        this.#counters.scarce?.inc()
        if (lines.take()) log.warn({ limit }, 'connection refused: few file descriptors are left')
      },
    })
    this.#gate = new Gate({
      descriptors: this.#descriptors,
      trustedProxies: createNetworkList(config.trustedProxies),
      admission: options.admission,
      peers: this.#peers,
      headerTimeoutMs: this.#limits.handshakeTimeoutMs,
      clock,
      log,
      onProxyError: () => this.#counters.proxyErrors?.inc(),
    })
    if (options.metrics) this.#gauges(options.metrics)
  }

  /** Opens all ports or none. */
  async start(): Promise<FrontDoorAddress> {
    const { config } = this.#options
    try {
      await this.#ownCertificates?.start()
      await this.#open('tls', this.#tlsPort(), config.tls)
      if (config.http.enabled) {
        await this.#open('http', createPlainHttpServer(this.#http, this.#gate), config.http)
      }
      if (config.rtmp.enabled) await this.#open('rtmp', this.#rtmpServer(), config.rtmp)
    } catch (err) {
      await this[Symbol.asyncDispose]()
      throw err
    }
    return this.address
  }

  get address(): FrontDoorAddress {
    return {
      tlsPort: this.#listeners.get('tls')?.address?.port ?? 0,
      httpPort: this.#listeners.get('http')?.address?.port,
      rtmpPort: this.#listeners.get('rtmp')?.address?.port,
    }
  }

  /** Of whoever sends a request: behind a trusted load balancer, its client. */
  addressOf(req: { socket: Ends }): string {
    return this.#peers.addressOf(req.socket)
  }

  /** Loads the certificates again, from new files where given; rejects when one is bad, and all old ones stay. */
  async reload(files?: EdgeConfig['tls']['certificates']): Promise<void> {
    await this.#ownCertificates?.reload(files)
  }

  /** No new connections; those that are there go on as they were. Resolves when none is left. */
  async stopListening(): Promise<void> {
    await Promise.all([...this.#listeners.values()].map((listener) => listener.stopAccepting()))
  }

  /** Viewers are told to use other connections, and still answered. */
  announceDrain(): void {
    this.#http.announceDrain()
  }

  /** No new connections; idle ones end, the others after their answer. Publishers are the ingest's to end. */
  stopAccepting(): void {
    void this.stopListening()
    this.#http.drain()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.stopAccepting()
    await Promise.all(
      [...this.#listeners.values()].map((listener) => listener[Symbol.asyncDispose]()),
    )
    this.#http[Symbol.dispose]()
    await this.#ownCertificates?.[Symbol.asyncDispose]()
  }

  async #open(
    name: 'tls' | 'http' | 'rtmp',
    server: ConstructorParameters<typeof Listener>[0]['server'],
    target: ListenTarget,
  ): Promise<void> {
    const { config, clock, log } = this.#options
    const listener = new Listener({
      server,
      maxConnections: config.ingest.maxConnections,
      drainLimitMs: this.#limits.drainLimitMs,
      clock,
      log,
      onDropped: () => this.#counters.dropped?.inc({ listener: name }),
    })
    const { reusePort = false } = this.#options.shared ?? {}
    await listener.start({ host: target.host, port: target.port, reusePort })
    this.#listeners.set(name, listener)
  }

  #tlsPort() {
    const { config, handlers, clock, log } = this.#options
    return createTlsPort({
      certificates: this.#certificates,
      ticketKeys: this.#options.shared?.ticketKeys,
      http: this.#http,
      gate: this.#gate,
      descriptors: this.#descriptors,
      peers: this.#peers,
      onRtmp: handlers.onRtmp,
      offersHttp2: config.tls.http2,
      handshakeTimeoutMs: this.#limits.handshakeTimeoutMs,
      firstByteTimeoutMs: config.ingest.firstByteTimeoutMs,
      clock,
      log,
      onHandshakeError: () => this.#counters.handshakeErrors?.inc(),
    })
  }

  #rtmpServer() {
    const { config, handlers, clock, log } = this.#options
    const { firstByteTimeoutMs } = config.ingest
    const { onRtmp } = handlers
    return createPlainRtmpServer({ gate: this.#gate, onRtmp, firstByteTimeoutMs, clock, log })
  }

  #gauges(metrics: Metrics): void {
    metrics.gauge(
      { name: 'connections', help: 'Open connections.', labels: ['listener'] as const },
      (gauge) => {
        for (const [name, listener] of this.#listeners) {
          gauge.set({ listener: name }, listener.connections)
        }
      },
    )
    metrics.gauge(
      {
        name: 'certificate_expires_timestamp_seconds',
        help: 'When the certificate that expires first does so, Unix time.',
        overThreads: 'min',
      },
      (gauge) => gauge.set(this.#certificates.expiresAt / 1_000),
    )
  }
}

function counters(metrics: Metrics | undefined) {
  return {
    dropped: metrics?.counter({
      name: 'connections_dropped_total',
      help: 'Connections refused because there were too many.',
      labels: ['listener'] as const,
    }),
    scarce: metrics?.counter({
      name: 'connections_without_descriptor_total',
      help: 'Connections refused because few file descriptors are left, which others are to have.',
    }),
    handshakeErrors: metrics?.counter({
      name: 'tls_handshake_errors_total',
      help: 'TLS handshakes that failed.',
    }),
    proxyErrors: metrics?.counter({
      name: 'proxy_header_errors_total',
      help: 'Connections from trusted proxies without a good PROXY header.',
    }),
  }
}

/** Not started yet. */
export function certificateStoreOf({
  config,
  clock,
  log,
}: Pick<FrontDoorOptions, 'config' | 'clock' | 'log'>): CertificateStore {
  const { certificates, localCa } = config.tls
  const dir = localCa.dir ?? join(config.dataDir, 'ca')
  return new CertificateStore({
    files: certificates,
    localCa: localCa.enabled ? { dir, names: caNames(config) } : undefined,
    clock,
    log,
  })
}

/** The configured names and the hosts of the public URLs, so that those verify too. */
function caNames(config: FrontDoorOptions['config']): string[] {
  const hosts = [config.publicUrls.https, config.publicUrls.rtmps].flatMap((url) =>
    url && URL.canParse(url) ? [hostOf(new URL(url))] : [],
  )
  return [...new Set([...config.tls.localCa.names, ...hosts])].filter((name) => name !== '')
}
