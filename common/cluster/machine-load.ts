// How busy the whole machine is: a node's encoders and neighbours are processes of their own. And what this process takes
// of its memory. Both are read from files of the kernel: without a free file descriptor they stay as they were.
import { cpus } from 'node:os'

interface Times {
  busyMs: number
  totalMs: number
}

export class MachineLoad {
  #last: Times = sample()
  #share = 0
  #memoryBytes = 0

  /** Share of all cores in use since the last call, 0 to 1. */
  busyShare(): number {
    const now = sample()
    const totalMs = now.totalMs - this.#last.totalMs
    if (totalMs <= 0) return this.#share
    const busyMs = now.busyMs - this.#last.busyMs
    this.#last = now
    this.#share = Math.min(1, Math.max(0, busyMs / totalMs))
    return this.#share
  }

  /** Resident memory of this process. */
  memoryBytes(): number {
    try {
      this.#memoryBytes = process.memoryUsage.rss()
    } catch {}
    return this.#memoryBytes
  }
}

function sample(): Times {
  let busyMs = 0
  let totalMs = 0
  for (const { times } of cpus()) {
    const total = times.user + times.nice + times.sys + times.idle + times.irq
    totalMs += total
    busyMs += total - times.idle
  }
  return { busyMs, totalMs }
}
