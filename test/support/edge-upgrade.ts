// Upgrades of the edges of a cluster by `nearcast up`: a second process of an edge takes over from the one that `up`
// has started. What was started here ends with it, before the cluster does.
import { appendFileSync } from 'node:fs'
import { join } from 'node:path'
import { RoleChild } from '../../bin/up/role-child.ts'
import type { Cluster, EdgeFacts } from './cluster.ts'
import { until } from './until.ts'

export class EdgeUpgrades implements AsyncDisposable {
  readonly #cluster: Cluster
  readonly #started: RoleChild[] = []

  constructor(cluster: Cluster) {
    this.#cluster = cluster
  }

  /** After an upgrade, publishers of that POP stay with the old process no longer than this. */
  async limitPublishers({ id, admin }: EdgeFacts, limitMs: number): Promise<void> {
    appendFileSync(this.config(id), `\ndrain:\n  publisherLimitMs: ${limitMs}\n`)
    const answer = await fetch(`${admin}/reload`, { method: 'POST' })
    if (!answer.ok) throw new Error(await answer.text())
  }

  /** Resolves when the new process serves; what is returned waits until the old one has left, with 0. */
  async upgrade({ id }: EdgeFacts): Promise<() => Promise<void>> {
    const child = new RoleChild({
      id,
      args: ['edge', '--config', this.config(id), '--take-over'],
      logFile: join(this.#cluster.dir, 'logs', `${id}-upgraded.log`),
      restart: false,
    })
    this.#started.push(child)
    await child.start()
    return async () => {
      await until(`the old ${id} to leave`, () =>
        this.#cluster.output.includes(`${id} was stopped and stays down`),
      )
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#started.map((child) => child.stop()))
  }

  config(id: string): string {
    return join(this.#cluster.dir, 'config', `${id}.yaml`)
  }
}
