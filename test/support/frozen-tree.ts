// Stops a process with everything below it, as a machine that is starved or paused does, and lets it go on (Linux).
import { readFileSync } from 'node:fs'
import { childrenOf } from './processes.ts'

export class FrozenTree implements Disposable {
  /** Root first. */
  readonly pids: readonly number[]
  #isThawed = false

  private constructor(pids: readonly number[]) {
    this.pids = pids
  }

  /** A parent is stopped before its children are looked for, so that it can start none meanwhile. */
  static freeze(rootPid: number): FrozenTree {
    const pids: number[] = []
    const waiting = [rootPid]
    for (let pid = waiting.shift(); pid !== undefined; pid = waiting.shift()) {
      if (!signal(pid, 'SIGSTOP')) continue
      pids.push(pid)
      waiting.push(...childrenOf(pid).map((child) => child.pid))
    }
    return new FrozenTree(pids)
  }

  /** Children first: they must be there when their parent looks at them. */
  thaw(): void {
    if (this.#isThawed) return
    this.#isThawed = true
    for (const pid of this.pids.toReversed()) signal(pid, 'SIGCONT')
  }

  [Symbol.dispose](): void {
    this.thaw()
  }
}

/** Stopped by a signal; a process that is gone is not. */
export function isStopped(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    return stat[stat.lastIndexOf(')') + 2] === 'T'
  } catch {
    return false
  }
}

function signal(pid: number, name: NodeJS.Signals): boolean {
  try {
    process.kill(pid, name)
    return true
  } catch {
    return false
  }
}
