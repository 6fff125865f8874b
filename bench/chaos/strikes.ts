// Kills a role of a running cluster, and waits until `up` has started it again.
import type { Cluster } from '../../test/support/cluster.ts'
import type { TakeoverStage } from '../../test/support/takeover-stage.ts'
import { until } from '../../test/support/until.ts'
import type { Strike } from './fault.ts'

/** The node that holds the stream now. */
export async function killHolder(
  stage: TakeoverStage,
  role: 'transcoders' | 'gateways',
): Promise<Strike> {
  const node = await stage.holder(role)
  return { struckAtMs: kill(node.pid), heal: () => isBack(stage.cluster, node) }
}

/** When, on the clock of `performance.now()`. */
export function kill(pid: number): number {
  process.kill(pid, 'SIGKILL')
  return performance.now()
}

/** As another process than the one that was killed. */
export async function isBack(
  cluster: Cluster,
  { id, pid }: { id: string; pid: number },
): Promise<void> {
  await until(`${id} to be back`, async () => {
    const { edges, gateways, transcoders } = cluster.facts
    const node = [...edges, ...gateways, ...transcoders].find((it) => it.id === id)!
    return node.pid !== pid && (await fetch(`${node.admin}/readyz`)).ok
  })
}
