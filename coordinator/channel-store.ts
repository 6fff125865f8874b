// Channels and the topics that they are sorted under.
import { randomInt, randomUUID } from 'node:crypto'
import type { Database } from './database/database.ts'
import type { ChannelTable, TopicTable } from './database/tables.ts'
import type { LeaseStore } from './lease-store.ts'

export interface Channel {
  id: string
  liveId: string
  owner: string | null
  name: string
  title: string
  description: string
  topic: string | null
  coverPath: string | null
  record: boolean
  replayTitle: string | null
  chatEnabled: boolean
  protected: boolean
  maxViewers: number | null
  views: number
  createdAt: number
  /** Nobody may publish to it since then, by the operator's word. */
  bannedAt: number | null
  /** True while a broadcast runs or is held. */
  live: boolean
}

/** What an owner may set. */
export interface ChannelSettings {
  name: string
  title: string
  description: string
  topic: string | null
  record: boolean
  replayTitle: string | null
  chatEnabled: boolean
  protected: boolean
  maxViewers: number | null
}

const liveIdAlphabet = 'abcdefghijklmnopqrstuvwxyz0123456789'
const madeLiveIdLength = 12

export class ChannelStore {
  readonly #database: Database
  readonly #leases: LeaseStore

  constructor(database: Database, leases: LeaseStore) {
    this.#database = database
    this.#leases = leases
  }

  async create(
    liveId: string | undefined,
    settings: Partial<ChannelSettings>,
  ): Promise<Channel | 'live-id-taken' | 'topic-unknown'> {
    const topic = settings.topic ?? null
    if (topic !== null && !(await this.#hasTopic(topic))) return 'topic-unknown'
    const name = liveId ?? makeLiveId()
    const row = await this.#database.db
      .insertInto('channels')
      .values({
        id: randomUUID(),
        live_id: name,
        owner: null,
        name: settings.name ?? name,
        title: settings.title ?? '',
        description: settings.description ?? '',
        topic,
        cover_path: null,
        record: Number(settings.record ?? true),
        replay_title: settings.replayTitle ?? null,
        chat_enabled: Number(settings.chatEnabled ?? true),
        protected: Number(settings.protected ?? false),
        max_viewers: settings.maxViewers ?? null,
        last_cost: null,
        created_at: this.#database.now,
      })
      .onConflict((conflict) => conflict.column('live_id').doNothing())
      .returning('id')
      .executeTakeFirst()
    return row ? (await this.find(name))! : 'live-id-taken'
  }

  async find(liveId: string): Promise<Channel | undefined> {
    const row = await this.#select().where('channels.live_id', '=', liveId).executeTakeFirst()
    return row && toChannel(row)
  }

  /** Of all channels, in order. */
  async liveIds(): Promise<string[]> {
    const rows = await this.#database.db
      .selectFrom('channels')
      .select('live_id')
      .orderBy('live_id')
      .execute()
    return rows.map((row) => row.live_id)
  }

  /** In the order of live ids, from the one after `after`. */
  async list(filter: {
    topic?: string | undefined
    after?: string | undefined
    limit: number
  }): Promise<Channel[]> {
    let query = this.#select().orderBy('channels.live_id').limit(filter.limit)
    if (filter.topic !== undefined) query = query.where('channels.topic', '=', filter.topic)
    if (filter.after !== undefined) query = query.where('channels.live_id', '>', filter.after)
    return (await query.execute()).map(toChannel)
  }

  /** A new title or topic is the running broadcast's too. */
  async update(
    liveId: string,
    settings: Partial<ChannelSettings>,
  ): Promise<Channel | undefined | 'topic-unknown'> {
    const { topic } = settings
    if (topic != null && !(await this.#hasTopic(topic))) return 'topic-unknown'
    const flag = (value: boolean | undefined) => (value === undefined ? undefined : Number(value))
    const columns = withoutUndefined({
      name: settings.name,
      title: settings.title,
      description: settings.description,
      topic,
      record: flag(settings.record),
      replay_title: settings.replayTitle,
      chat_enabled: flag(settings.chatEnabled),
      protected: flag(settings.protected),
      max_viewers: settings.maxViewers,
    })
    if (Object.keys(columns).length > 0) {
      await this.#database.db
        .updateTable('channels')
        .set(columns)
        .where('live_id', '=', liveId)
        .execute()
    }
    const channel = await this.find(liveId)
    if (channel?.live) {
      await this.#database.db
        .updateTable('broadcasts')
        .set({ title: channel.title || channel.name, topic: channel.topic })
        .where('channel_id', '=', channel.id)
        .where('ended_at', 'is', null)
        .execute()
    }
    return channel
  }

  /** Banning twice keeps the first time. False: there is no such channel. Ends nothing that runs. */
  async setBanned(liveId: string, isBanned: boolean): Promise<boolean> {
    const { now } = this.#database
    return this.#database.durably(async (transaction) => {
      const row = await transaction
        .updateTable('channels')
        .set((set) => ({ banned_at: isBanned ? set.fn.coalesce('banned_at', now) : null }))
        .where('live_id', '=', liveId)
        .returning('id')
        .executeTakeFirst()
      return row !== undefined
    })
  }

  /** Ends what is live: the transcoder learns by its next renewal that its lease is lost. */
  async delete(liveId: string, options: { withRecordings: boolean }): Promise<boolean> {
    return this.#database.db.transaction().execute(async (transaction) => {
      const channel = await transaction
        .selectFrom('channels')
        .select('id')
        .where('live_id', '=', liveId)
        .executeTakeFirst()
      if (!channel) return false
      const lease = await this.#leases.find(liveId, transaction)
      if (lease) await this.#leases.end(lease, 'stopped', transaction)
      if (options.withRecordings) {
        await transaction
          .updateTable('recordings')
          .set({ deleted_at: this.#database.now })
          .where('channel_id', '=', channel.id)
          .where('deleted_at', 'is', null)
          .execute()
      }
      await transaction.deleteFrom('channels').where('id', '=', channel.id).execute()
      return true
    })
  }

  async topics(): Promise<Pick<TopicTable, 'id' | 'name'>[]> {
    return this.#database.db.selectFrom('topics').select(['id', 'name']).orderBy('name').execute()
  }

  async putTopic(id: string, name: string): Promise<void> {
    await this.#database.db
      .insertInto('topics')
      .values({ id, name, created_at: this.#database.now })
      .onConflict((conflict) => conflict.column('id').doUpdateSet({ name }))
      .execute()
  }

  /** Its channels stay, without a topic. */
  async deleteTopic(id: string): Promise<boolean> {
    const row = await this.#database.db
      .deleteFrom('topics')
      .where('id', '=', id)
      .returning('id')
      .executeTakeFirst()
    return row !== undefined
  }

  async #hasTopic(id: string): Promise<boolean> {
    const row = await this.#database.db
      .selectFrom('topics')
      .select('id')
      .where('id', '=', id)
      .executeTakeFirst()
    return row !== undefined
  }

  #select() {
    return this.#database.db
      .selectFrom('channels')
      .leftJoin('leases', 'leases.live_id', 'channels.live_id')
      .selectAll('channels')
      .select('leases.broadcast_id')
  }
}

function makeLiveId(): string {
  return Array.from(
    { length: madeLiveIdLength },
    () => liveIdAlphabet[randomInt(liveIdAlphabet.length)],
  ).join('')
}

function withoutUndefined<Values extends object>(values: Values): Partial<Values> {
  return Object.fromEntries(
    Object.entries(values).filter(([, value]) => value !== undefined),
  ) as Partial<Values>
}

type ChannelRow = Omit<ChannelTable, 'views' | 'banned_at'> & {
  views: number
  banned_at: number | null
  broadcast_id: string | null
}

function toChannel(row: ChannelRow): Channel {
  return {
    id: row.id,
    liveId: row.live_id,
    owner: row.owner,
    name: row.name,
    title: row.title,
    description: row.description,
    topic: row.topic,
    coverPath: row.cover_path,
    record: row.record === 1,
    replayTitle: row.replay_title,
    chatEnabled: row.chat_enabled === 1,
    protected: row.protected === 1,
    maxViewers: row.max_viewers,
    views: row.views,
    createdAt: row.created_at,
    bannedAt: row.banned_at,
    live: row.broadcast_id !== null,
  }
}
