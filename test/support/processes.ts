// Finds processes by what stands in their command line, environment or working directory (Linux), to prove that none is left.
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'

export interface FoundProcess {
  pid: number
  command: string
}

/** Processes whose command line, environment or working directory holds `text`; waits up to 5 s for them to be gone. */
export async function processesMentioning(text: string): Promise<FoundProcess[]> {
  for (let attempt = 0; ; attempt++) {
    const found = scan(text)
    if (found.length === 0 || attempt === 50) return found
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
}

/** An ffmpeg of the transcoder's, not one that a test runs: each rendition has a pipe of its own. */
export function isEncoder({ command }: FoundProcess): boolean {
  return command.includes(' pipe:3')
}

/** Direct children of a process. */
export function childrenOf(pid: number): FoundProcess[] {
  return allProcesses().filter((entry) => {
    try {
      const stat = readFileSync(`/proc/${entry.pid}/stat`, 'utf8')
      return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]) === pid
    } catch {
      return false
    }
  })
}

/** All descendants of a process, deepest last. */
export function descendantsOf(pid: number): FoundProcess[] {
  return childrenOf(pid).flatMap((child) => [child, ...descendantsOf(child.pid)])
}

export function isRunning(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    return stat[stat.lastIndexOf(')') + 2] !== 'Z'
  } catch {
    return false
  }
}

function scan(text: string): FoundProcess[] {
  return allProcesses().filter(({ pid, command }) => {
    if (pid === process.pid || !isRunning(pid)) return false
    if (command.includes(text)) return true
    try {
      // Helpers run without our environment, but below the data folder.
      if (readlinkSync(`/proc/${pid}/cwd`).includes(text)) return true
      return readFileSync(`/proc/${pid}/environ`, 'utf8').includes(text)
    } catch {
      return false
    }
  })
}

function allProcesses(): FoundProcess[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => {
      try {
        const command = readFileSync(`/proc/${name}/cmdline`, 'utf8').replaceAll('\0', ' ').trim()
        return [{ pid: Number(name), command }]
      } catch {
        return []
      }
    })
}
