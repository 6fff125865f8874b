// How a load test leaves when it is told to go: everything that it has started goes before it, also what is frozen.
import { childrenOf, descendantsOf, isRunning } from '../../test/support/processes.ts'

/** A cluster that stops in order needs less. */
const limitMs = 20_000
const lookMs = 100

/** A Ctrl-C reaches the others by themselves, a signal to this process alone does not. */
export function takeAllAlong(): void {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.once(signal, () => {
      void endAll().then(() => process.exit(signal === 'SIGINT' ? 130 : 143))
    })
  }
}

async function endAll(): Promise<void> {
  const all = descendantsOf(process.pid).map(({ pid }) => pid)
  // Who is stopped hears of nothing else.
  for (const pid of all) send(pid, 'SIGCONT')
  // They end their own in order.
  for (const { pid } of childrenOf(process.pid)) send(pid, 'SIGTERM')
  const left = () => all.filter(isRunning)
  for (let waitedMs = 0; left().length > 0 && waitedMs < limitMs; waitedMs += lookMs) {
    await new Promise((resolve) => setTimeout(resolve, lookMs))
  }
  for (const pid of left()) send(pid, 'SIGKILL')
}

function send(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal)
  } catch {
    // It has gone by itself.
  }
}
