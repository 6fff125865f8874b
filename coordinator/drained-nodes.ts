// The nodes that an operator has taken out of service: so they stay, over restarts of theirs and of the
// coordinator, until the operator takes it back.
import type { Database } from './database/database.ts'

export interface DrainedNode {
  id: string
  /** Wall ms. */
  since: number
  /** What it carried when the drain began. */
  streams: number
}

export class DrainedNodes {
  readonly #database: Database
  readonly #nodes = new Map<string, DrainedNode>()

  constructor(database: Database) {
    this.#database = database
  }

  /** Reads what was decided before a restart. */
  async restore(): Promise<void> {
    const rows = await this.#database.db.selectFrom('drained_nodes').selectAll().execute()
    for (const row of rows) this.#nodes.set(row.id, row)
  }

  get(id: string): DrainedNode | undefined {
    return this.#nodes.get(id)
  }

  all(): DrainedNode[] {
    return [...this.#nodes.values()]
  }

  /** False when it is drained already: then the first drain goes on. */
  async add(id: string, streams: number): Promise<boolean> {
    const row = await this.#database.db
      .insertInto('drained_nodes')
      .values({ id, streams, since: this.#database.now })
      .onConflict((conflict) => conflict.column('id').doNothing())
      .returningAll()
      .executeTakeFirst()
    if (row) this.#nodes.set(id, row)
    return row !== undefined
  }

  async remove(id: string): Promise<boolean> {
    await this.#database.db.deleteFrom('drained_nodes').where('id', '=', id).execute()
    return this.#nodes.delete(id)
  }
}
