// A clock whose monotonic time is the same in all threads of a process, so that times can be told from one to another.
import { type Clock, systemClock } from './clock.ts'

/** Each thread counts from its own start; this is where that was. */
const startedAt = Number(process.hrtime.bigint()) / 1e6 - performance.now()

export const threadClock: Clock = {
  ...systemClock,
  monotonic: () => startedAt + performance.now(),
}
