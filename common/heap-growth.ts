// Lets the heap of a process that passes media through grow further between two collections.
import { setFlagsFromString } from 'node:v8'

/** V8 grows a heap at most so far by itself; a small one that media flows past it collects at every few megabytes. */
const mostGrowthPercent = 300

/**
 * V8 counts what buffers take towards the limit of the heap that it last found alive. In a relay that is some 25 MB,
 * beside many times as much media a second, and marking it again and again cost more than relaying.
 */
export function letHeapGrow(): void {
  setFlagsFromString(`--heap-growing-percent=${mostGrowthPercent}`)
}
