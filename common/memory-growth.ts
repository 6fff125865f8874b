// Lets the memory of a process that passes media through grow further between two collections.
import { setFlagsFromString } from 'node:v8'

/**
 * A relay's own objects are some 25 MB, beside many times as much media a second, and marking them again and again cost
 * more than relaying. By itself V8 collects a small heap at every few megabytes, and whenever buffers have grown by
 * 64 MB; here the heap may grow fourfold, and buffers to twice what was found in use.
 */
const flags = [
  '--heap-growing-percent=300',
  '--external-memory-accounted-in-global-limit',
  '--external-memory-max-growing-factor=2',
]

export function letMemoryGrow(): void {
  for (const flag of flags) setFlagsFromString(flag)
}
