// A real coordinator and a real transcoder in this process, and publishes as a gateway would make them.
import { createHash, randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { systemClock } from '../../common/clock.ts'
import { createClusterAuth } from '../../common/cluster/cluster-auth.ts'
import { CoordinatorClient } from '../../common/cluster/coordinator-client.ts'
import type { PublishGrant, PublishRequest } from '../../common/contract/placement.ts'
import { type Logger, silentLogger } from '../../common/log.ts'
import type { RunningRole } from '../../common/role-process.ts'
import { readLadder } from '../../config/ladder.ts'
import type { ResolvedTranscoderConfig } from '../../config/load.ts'
import {
  coordinatorConfigSchema,
  type TranscoderConfig,
  transcoderConfigSchema,
} from '../../config/schema.ts'
import { startCoordinator } from '../../coordinator/coordinator-node.ts'
import { startTranscoder } from '../../origin/transcoder/transcoder-node.ts'
import { descendantsOf, isEncoder } from './processes.ts'

const secret = 'ncs_for_tests_only_0123456789abcdef'
const adminToken = 'nct_for_tests_only_0123456789'

export interface RigOptions {
  /** Settings of the transcoder. */
  transcoder?: Partial<TranscoderConfig> | Record<string, unknown>
  /** Text of a ladder file. */
  ladder?: string
  log?: Logger
}

export class TranscoderRig implements AsyncDisposable {
  readonly dir: string
  readonly coordinatorUrl: string
  readonly log: Logger
  transcoder: RunningRole
  readonly #coordinator: RunningRole
  readonly #gateway: CoordinatorClient
  readonly #more: RunningRole[] = []
  /** As given, with the way to the coordinator. */
  readonly transcoderSettings: Record<string, unknown>

  private constructor(
    dir: string,
    coordinator: RunningRole,
    transcoder: RunningRole,
    gateway: CoordinatorClient,
    settings: Record<string, unknown>,
    log: Logger,
  ) {
    this.dir = dir
    this.#coordinator = coordinator
    this.transcoder = transcoder
    this.#gateway = gateway
    this.transcoderSettings = settings
    this.log = log
    this.coordinatorUrl = String(coordinator.endpoints.url)
  }

  static async start(options: RigOptions = {}): Promise<TranscoderRig> {
    const log = options.log ?? silentLogger
    const dir = await mkdtemp(join(tmpdir(), 'nearcast-rig-'))
    const coordinator = await startCoordinator(
      coordinatorConfigSchema.parse({
        role: 'coordinator',
        node: { id: 'coordinator' },
        dataDir: join(dir, 'coordinator'),
        admin: { port: 0 },
        cluster: { secret },
        listen: { host: '127.0.0.1', port: 0 },
        adminToken,
      }) as never,
      log,
    )
    const url = String(coordinator.endpoints.url)
    const settings = {
      ffmpeg: await namedAfter(dir),
      ...options.transcoder,
      ...(options.ladder !== undefined && { ladder: await ladderFile(dir, options.ladder) }),
      cluster: { coordinator: url, secret },
    }
    const transcoder = await startNode(dir, settings, log)
    const auth = createClusterAuth(secret)
    const gateway = new CoordinatorClient({
      url,
      auth,
      nodeId: 'gw-1',
      role: 'gateway',
      log,
      clock: systemClock,
    })
    return new TranscoderRig(dir, coordinator, transcoder, gateway, settings, log)
  }

  get url(): string {
    return String(this.transcoder.endpoints.url)
  }

  /** Answers the stream key. */
  async createChannel(liveId: string, settings: Record<string, unknown> = {}): Promise<string> {
    const answer = await this.api('POST', '/api/v1/channels', { liveId, ...settings })
    const { streamKey } = answer as { streamKey: string }
    return streamKey
  }

  async api(method: string, path: string, body?: object): Promise<unknown> {
    const response = await fetch(`${this.coordinatorUrl}${path}`, {
      method,
      headers: { authorization: `Bearer ${adminToken}`, 'content-type': 'application/json' },
      ...(body && { body: JSON.stringify(body) }),
    })
    const text = await response.text()
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`)
    return text === '' ? undefined : JSON.parse(text)
  }

  /**
   * Asks for a lease as a gateway does, for a new connection unless one is named; `streamName` for ffmpeg is the nonce
   * with the ticket.
   */
  async grant(
    streamKey: string,
    more: Partial<PublishRequest> = {},
  ): Promise<PublishGrant & { nonce: string; streamName: string }> {
    const nonce = randomBytes(16).toString('base64url')
    const answer = await this.#gateway.publish({
      keyDigest: createHash('sha256').update(streamKey).digest('hex'),
      gateway: 'gw-1',
      pop: null,
      clientAddress: '127.0.0.1',
      connection: randomBytes(16).toString('base64url'),
      attempt: 1,
      ...more,
      nonce,
    })
    if ('refused' in answer) throw new Error(`refused: ${answer.refused.code}`)
    return { ...answer.granted, nonce, streamName: `${nonce}?ticket=${answer.granted.ticket}` }
  }

  async text(path: string): Promise<string | undefined> {
    const response = await fetch(this.url + path)
    const body = await response.text()
    return response.ok ? body : undefined
  }

  /** Where a transcoder that runs elsewhere is played from, as it told the coordinator. */
  async playbackUrl(): Promise<string | undefined> {
    const { nodes } = (await this.api('GET', '/api/v1/nodes')) as {
      nodes: { role: string; urls: { http?: string } }[]
    }
    return nodes.find((it) => it.role === 'transcoder')?.urls.http
  }

  /** Pids of the ffmpegs that encode in this rig, whatever other rigs this process has. */
  encoders(): number[] {
    return descendantsOf(process.pid)
      .filter((it) => isEncoder(it) && it.command.includes(this.dir))
      .map(({ pid }) => pid)
  }

  /** Another one of the cluster, set up like the first. */
  async addTranscoder(id: string): Promise<void> {
    const settings = { ...this.transcoderSettings, node: { id } }
    this.#more.push(await startNode(join(this.dir, id), settings, this.log))
  }

  /** Stops the transcoder in order and starts it anew over the same data. */
  async restartTranscoder(): Promise<void> {
    await this.transcoder[Symbol.asyncDispose]()
    this.transcoder = await startNode(this.dir, this.transcoderSettings, this.log)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const it of [this.transcoder, ...this.#more]) await it[Symbol.asyncDispose]()
    await this.#gateway[Symbol.asyncDispose]()
    await this.#coordinator[Symbol.asyncDispose]()
    await rm(this.dir, { recursive: true, force: true })
  }
}

/** Costs little: one rung below the 90 lines of a clip. */
export const smallLadder =
  'name: one\nrungs: [{ height: 72, videoBitsPerSecond: 100000 }]\npreset: ultrafast\n'

async function ladderFile(dir: string, text: string): Promise<string> {
  const path = join(dir, 'ladder.yaml')
  await writeFile(path, text)
  return path
}

/** The ffmpeg of this machine under a path of its own, by which its processes are found. */
async function namedAfter(dir: string): Promise<string> {
  const places = (process.env.PATH ?? '').split(delimiter).map((it) => join(it, 'ffmpeg'))
  const path = join(dir, 'ffmpeg')
  await symlink(places.find((it) => existsSync(it))!, path)
  return path
}

function startNode(
  dir: string,
  settings: Record<string, unknown>,
  log: Logger,
): Promise<RunningRole> {
  const read = () => resolvedTranscoderConfig(dir, settings)
  return startTranscoder(read(), log, { reread: () => ({ config: read(), adopt() {} }) })
}

/** As it would stand in a file. */
export function transcoderConfig(dir: string, settings: Record<string, unknown>): TranscoderConfig {
  return transcoderConfigSchema.parse({
    role: 'transcoder',
    node: { id: 'tc-1' },
    dataDir: join(dir, 'transcoder'),
    admin: { port: 0 },
    http: { host: '127.0.0.1', port: 0 },
    rtmp: { host: '127.0.0.1', port: 0 },
    ...settings,
  })
}

/** As a node gets it. */
function resolvedTranscoderConfig(
  dir: string,
  settings: Record<string, unknown>,
): ResolvedTranscoderConfig {
  const config = transcoderConfig(dir, settings)
  return { ...config, ladder: readLadder(config.ladder) } as ResolvedTranscoderConfig
}
