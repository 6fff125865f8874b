// A viewer who asks for one object on a fixed beat, whatever the server does, and notes how long each answer took from
// when it was due: what others feel while a server is under attack.
import { RawConnection, type RawTarget } from './raw-connection.ts'

export interface PulseResult {
  latenciesMs: number[]
  failures: number
}

const everyMs = 10
const patienceMs = 5_000

export async function pulse(
  target: RawTarget,
  path: string,
  signal: AbortSignal,
): Promise<PulseResult> {
  const result: PulseResult = { latenciesMs: [], failures: 0 }
  const connections: RawConnection[] = []
  const underWay = new Set<Promise<void>>()
  const ask = async (dueAtMs: number) => {
    let connection = connections.find(({ isIdle }) => isIdle)
    if (!connection) {
      connection = new RawConnection(target)
      connections.push(connection)
    }
    try {
      const { status, endAtMs } = await connection.ask(path)
      if (status === 200) result.latenciesMs.push(endAtMs - dueAtMs)
      else result.failures++
    } catch {
      result.failures++
    }
  }
  for (let dueAtMs = performance.now(); !signal.aborted; dueAtMs += everyMs) {
    const waitMs = dueAtMs - performance.now()
    if (waitMs > 0) await new Promise((resolve) => setTimeout(resolve, waitMs))
    const asking: Promise<void> = ask(dueAtMs).then(() => void underWay.delete(asking))
    underWay.add(asking)
  }
  const patience = setTimeout(() => {
    for (const connection of connections) connection.close()
  }, patienceMs)
  await Promise.all(underWay)
  clearTimeout(patience)
  for (const connection of connections) connection.close()
  return result
}
