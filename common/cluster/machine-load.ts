// How busy the whole machine is: a node's encoders and neighbours are processes of their own.
import { cpus } from 'node:os'

interface Times {
  busyMs: number
  totalMs: number
}

export class MachineLoad {
  #last: Times = sample()

  /** Share of all cores in use since the last call, 0 to 1. */
  busyShare(): number {
    const now = sample()
    const totalMs = now.totalMs - this.#last.totalMs
    const busyMs = now.busyMs - this.#last.busyMs
    this.#last = now
    return totalMs > 0 ? Math.min(1, Math.max(0, busyMs / totalMs)) : 0
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
