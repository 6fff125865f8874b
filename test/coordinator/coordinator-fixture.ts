// A coordinator on a real database file and a clock that the test turns, with nodes that speak for themselves.

import { randomBytes, randomUUID } from 'node:crypto'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createClusterAuth } from '../../common/cluster/cluster-auth.ts'
import type { Heartbeat, Role } from '../../common/contract/membership.ts'
import type {
  LeaseAnswer,
  LeaseRelease,
  LeaseRenewal,
  PublishGrant,
  PublishRequest,
} from '../../common/contract/placement.ts'
import type { Refusal } from '../../common/contract/refusal.ts'
import { silentLogger } from '../../common/log.ts'
import { coordinatorConfigSchema } from '../../config/schema.ts'
import { coordinatorApp } from '../../coordinator/app.ts'
import { Coordinator } from '../../coordinator/coordinator.ts'
import { type Database, openDatabase } from '../../coordinator/database/database.ts'
import { digestOf } from '../../coordinator/stream-key.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { heartbeatOf } from '../support/heartbeats.ts'

export const clusterSecret = `ncs_${'s'.repeat(40)}`
export const adminToken = `nct_${'t'.repeat(32)}`

export interface Answer<Body = Record<string, unknown>> {
  status: number
  headers: Headers
  body: Body
}

export class CoordinatorFixture implements AsyncDisposable {
  readonly clock: FakeClock
  readonly dir: string
  readonly auth
  /** By live id: the nonce of the newest publish that was granted; whoever renews next has let it in. */
  readonly nonces = new Map<string, string>()
  readonly #settings: object
  #database!: Database
  coordinator!: Coordinator
  #app!: ReturnType<typeof coordinatorApp>

  private constructor(dir: string, settings: object, clock: FakeClock) {
    this.dir = dir
    this.clock = clock
    this.#settings = settings
    this.auth = createClusterAuth(clusterSecret, this.clock)
  }

  static async start(settings: object = {}, clock = new FakeClock()): Promise<CoordinatorFixture> {
    const dir = await mkdtemp(join(tmpdir(), 'nearcast-coordinator-'))
    const fixture = new CoordinatorFixture(dir, settings, clock)
    await fixture.#boot()
    return fixture
  }

  /** Ends this coordinator and starts the next one on the same file. */
  async restart(): Promise<void> {
    await this.#shutDown()
    await this.#boot()
  }

  async #boot(): Promise<void> {
    const config = coordinatorConfigSchema.parse({
      role: 'coordinator',
      node: { id: 'coordinator' },
      dataDir: this.dir,
      cluster: { secret: clusterSecret },
      ...this.#settings,
    })
    this.#database = await openDatabase(join(this.dir, 'coordinator.db'), this.clock)
    this.coordinator = new Coordinator({
      config: { ...config, cluster: { secret: clusterSecret } },
      database: this.#database,
      auth: this.auth,
      clock: this.clock,
      log: silentLogger,
    })
    await this.coordinator.start()
    this.#app = coordinatorApp(this.coordinator.parts(adminToken, join(this.dir, 'console')))
  }

  async #shutDown(): Promise<void> {
    await this.coordinator[Symbol.asyncDispose]()
    await this.#database[Symbol.asyncDispose]()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#shutDown()
    await rm(this.dir, { recursive: true, force: true })
  }

  fetch(method: string, path: string, token: string | undefined, body?: unknown) {
    return this.#app.request(path, {
      method,
      headers: {
        ...(token !== undefined && { authorization: `Bearer ${token}` }),
        ...(body !== undefined && { 'content-type': 'application/json' }),
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    })
  }

  raw(path: string, init: RequestInit) {
    return this.#app.request(path, init)
  }

  /** Everything that SQLite has written, log included. */
  async databaseBytes(): Promise<string> {
    const names = ['coordinator.db', 'coordinator.db-wal']
    const files = await Promise.all(names.map((name) => readFile(join(this.dir, name), 'latin1')))
    return files.join('')
  }

  async call<Body = Record<string, unknown>>(
    method: string,
    path: string,
    body?: unknown,
    /** null sends none. */
    token: string | null = adminToken,
  ): Promise<Answer<Body>> {
    const response = await this.fetch(method, path, token ?? undefined, body)
    const text = await response.text()
    return {
      status: response.status,
      headers: response.headers,
      body: (text === '' ? undefined : JSON.parse(text)) as Body,
    }
  }

  async api<Body = Record<string, unknown>>(method: string, path: string, body?: unknown) {
    return (await this.call<Body>(method, `/api/v1${path}`, body)).body
  }

  /** JSON of what every node is pushed. */
  snapshot(): Promise<string> {
    return this.coordinator.parts(adminToken, this.dir).snapshot.render()
  }

  /** Makes a channel; answers its stream key. */
  async channel(liveId: string, settings: object = {}): Promise<string> {
    const made = await this.api<{ streamKey: string }>('POST', '/channels', { liveId, ...settings })
    return made.streamKey
  }

  async node(id: string, role: Role, settings: Partial<Heartbeat> = {}): Promise<FakeNode> {
    const node = new FakeNode(this, id, role, settings)
    await node.beat()
    return node
  }
}

/** A node as the coordinator sees one. */
export class FakeNode {
  readonly id: string
  readonly role: Role
  instance: string = randomUUID()
  settings: Partial<Heartbeat>
  readonly #fixture: CoordinatorFixture

  constructor(fixture: CoordinatorFixture, id: string, role: Role, settings: Partial<Heartbeat>) {
    this.#fixture = fixture
    this.id = id
    this.role = role
    this.settings = settings
  }

  async call<Body>(method: string, path: string, body?: unknown): Promise<Answer<Body>> {
    const token = await this.#fixture.auth.issueNodeToken(this.id, this.role)
    return this.#fixture.call<Body>(method, `/internal/v1${path}`, body, token)
  }

  heartbeat(): Heartbeat {
    return heartbeatOf(this.id, { role: this.role, instance: this.instance, ...this.settings })
  }

  beat() {
    return this.call<Record<string, unknown>>('PUT', `/nodes/${this.id}`, this.heartbeat())
  }

  leave() {
    return this.call('DELETE', `/nodes/${this.id}`)
  }

  /** The process starts anew. */
  async restart(): Promise<void> {
    this.instance = randomUUID()
    await this.beat()
  }

  /** As a gateway. */
  async publish(
    streamKey: string,
    pop: string | null = null,
    more: Partial<PublishRequest> = {},
  ): Promise<PublishGrant | Refusal> {
    const request = { ...this.publishRequest(streamKey), pop, ...more }
    const { body } = await this.call<PublishGrant | Refusal>('POST', '/publishes', request)
    if ('liveId' in body) this.#fixture.nonces.set(body.liveId, request.nonce)
    return body
  }

  /** Of a new connection. */
  publishRequest(streamKey: string): PublishRequest {
    return {
      keyDigest: digestOf(streamKey),
      gateway: this.id,
      pop: null,
      clientAddress: '192.0.2.7',
      connection: randomName(),
      attempt: 1,
      nonce: randomName(),
    }
  }

  async granted(
    streamKey: string,
    pop: string | null = null,
    more: Partial<PublishRequest> = {},
  ): Promise<PublishGrant> {
    const answer = await this.publish(streamKey, pop, more)
    if ('code' in answer) throw new Error(`refused: ${answer.code}`)
    return answer
  }

  /** As a transcoder, with the publisher that was placed last. */
  renew(liveId: string, epoch: number, more: Partial<LeaseRenewal> = {}) {
    return this.call<LeaseAnswer>('POST', `/leases/${liveId}/renew`, {
      epoch,
      instance: this.instance,
      nonce: this.#fixture.nonces.get(liveId) ?? null,
      state: 'live',
      takes: 1,
      cost: 0,
      video: null,
      audio: null,
      renditions: [],
      ...more,
    } satisfies LeaseRenewal)
  }

  release(liveId: string, epoch: number, reason: LeaseRelease['reason']) {
    return this.call<LeaseAnswer>('POST', `/leases/${liveId}/release`, {
      epoch,
      instance: this.instance,
      reason,
    } satisfies LeaseRelease)
  }
}

function randomName(): string {
  return randomBytes(16).toString('base64url')
}
