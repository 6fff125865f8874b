// Who may use the API: the admin token for ever, sessions for half a day, and codes that make one session each.
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'
import type { Database } from './database/database.ts'
import { digestOf } from './stream-key.ts'

const codeLifeMs = 15 * 60_000
const sessionLifeMs = 12 * 60 * 60_000

export interface Access {
  kind: 'admin' | 'session'
  /** How long it still lasts; undefined is for ever. */
  lifeMs: number | undefined
}

export class AccessTokens {
  readonly #database: Database
  readonly #adminDigest: Buffer

  constructor(database: Database, adminToken: string) {
    this.#database = database
    this.#adminDigest = sha256(adminToken)
  }

  async verify(token: string): Promise<Access | undefined> {
    // Equal lengths, so that the comparison takes the same time whatever was sent.
    if (timingSafeEqual(sha256(token), this.#adminDigest)) {
      return { kind: 'admin', lifeMs: undefined }
    }
    const row = await this.#database.db
      .selectFrom('access_tokens')
      .select('expires_at')
      .select(this.#database.now.as('now'))
      .where('digest', '=', digestOf(token))
      .where('kind', '=', 'session')
      .executeTakeFirst()
    if (!row || row.expires_at <= row.now) return undefined
    return { kind: 'session', lifeMs: row.expires_at - row.now }
  }

  /** A code that opens one session, to be carried in a URL's fragment. */
  makeCode(): Promise<{ code: string; expiresAt: number }> {
    return this.#make('code', 'nco_', codeLifeMs).then(({ secret, expiresAt }) => ({
      code: secret,
      expiresAt,
    }))
  }

  /** `undefined`: never made, used before, or too old. */
  async redeem(code: string): Promise<{ token: string; expiresAt: number } | undefined> {
    const { db, now } = this.#database
    await db.deleteFrom('access_tokens').where('expires_at', '<=', now).execute()
    const used = await db
      .deleteFrom('access_tokens')
      .where('digest', '=', digestOf(code))
      .where('kind', '=', 'code')
      .returning('digest')
      .executeTakeFirst()
    if (!used) return undefined
    const { secret, expiresAt } = await this.#make('session', 'nct_', sessionLifeMs)
    return { token: secret, expiresAt }
  }

  /** Ends a session; the admin token cannot be ended. */
  async end(token: string): Promise<void> {
    await this.#database.db
      .deleteFrom('access_tokens')
      .where('digest', '=', digestOf(token))
      .execute()
  }

  async #make(kind: 'code' | 'session', prefix: string, lifeMs: number) {
    const secret = prefix + randomBytes(24).toString('base64url')
    const row = await this.#database.db
      .insertInto('access_tokens')
      .values((value) => ({
        digest: digestOf(secret),
        kind,
        expires_at: value(this.#database.now, '+', value.val(lifeMs)),
      }))
      .returning('expires_at')
      .executeTakeFirstOrThrow()
    return { secret, expiresAt: row.expires_at }
  }
}

function sha256(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}
