// The keys that were good when the coordinator was last heard, in memory and on disk: whoever comes with one of them can
// publish while it is away. Digests only; a key that was revoked is gone from here with the next heartbeat.
import { join } from 'node:path'
import type { Clock } from '../../common/clock.ts'
import type { CoordinatorClient } from '../../common/cluster/coordinator-client.ts'
import { SnapshotFile } from '../../common/cluster/snapshot-file.ts'
import {
  type KnownKey,
  type KnownKeyList,
  knownKeysSchema,
} from '../../common/contract/stand-in.ts'
import type { Logger } from '../../common/log.ts'

export const knownKeysFileName = 'known-keys.json'

export interface KnownKeysOptions {
  client: Pick<CoordinatorClient, 'knownKeys'>
  dataDir: string
  clock: Clock
  log: Logger
}

export class KnownKeys implements AsyncDisposable {
  readonly #options: KnownKeysOptions
  readonly #file: SnapshotFile<KnownKeyList>
  #version = ''
  #byDigest = new Map<string, KnownKey>()
  #liveIds = new Set<string>()
  #fetching: Promise<void> | undefined

  constructor(options: KnownKeysOptions) {
    this.#options = options
    const file = join(options.dataDir, knownKeysFileName)
    this.#file = new SnapshotFile(file, knownKeysSchema, options.log)
  }

  /** Takes up what was known before a restart. */
  async start(): Promise<void> {
    const stored = await this.#file.read()
    if (stored && this.#version === '') this.#adopt(stored)
  }

  /** To be called with the version that each answer to a heartbeat names; resolves when it is known here, or was asked for. */
  async heard(version: string | undefined): Promise<void> {
    if (version === undefined || version === this.#version) return
    this.#fetching ??= this.#fetch().finally(() => {
      this.#fetching = undefined
    })
    await this.#fetching
  }

  /** Undefined also for one that has expired. */
  find(digest: string): KnownKey | undefined {
    const key = this.#byDigest.get(digest)
    const isOver = key?.expiresAt != null && key.expiresAt <= this.#options.clock.now()
    return isOver ? undefined : key
  }

  hasLiveId(liveId: string): boolean {
    return this.#liveIds.has(liveId)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#fetching
    await this.#file.settled()
  }

  async #fetch(): Promise<void> {
    const answer = await this.#options.client.knownKeys()
    if ('error' in answer) {
      this.#options.log.warn({ error: answer.error }, 'known keys not brought up to date')
      return
    }
    this.#adopt(answer)
    this.#file.write(answer)
  }

  #adopt({ version, keys }: KnownKeyList): void {
    this.#version = version
    this.#byDigest = new Map(keys.map((key) => [key.digest, key]))
    this.#liveIds = new Set(keys.map(({ liveId }) => liveId))
  }
}
