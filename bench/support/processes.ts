// Child processes of a benchmark: each on its own core, all gone when the benchmark ends.
import { type ChildProcess, execFileSync, fork, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'

/** Prefix that pins a command to one core. */
export function pinned(core: number): string[] {
  return ['taskset', '-c', String(core)]
}

/** Pins a process that runs, with all its threads. */
export function pin(core: number, pid: number): void {
  execFileSync('taskset', ['--all-tasks', '--cpu-list', '--pid', String(core), String(pid)], {
    stdio: 'ignore',
  })
}

/** Starts a TypeScript file under Node, pinned; resolves with the first message that it sends. */
export async function startNode<Message>(
  core: number,
  file: URL,
  args: string[] = [],
): Promise<{ child: ChildProcess; message: Message }> {
  const [command, ...prefix] = pinned(core)
  const child = fork(file, args, {
    execPath: command!,
    execArgv: [...prefix, process.execPath],
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  })
  return { child, message: await firstMessage<Message>(child, file.pathname) }
}

async function firstMessage<Message>(child: ChildProcess, name: string): Promise<Message> {
  const given = Promise.withResolvers<Message>()
  child.once('message', (message) => given.resolve(message as Message))
  child.once('exit', (code) => given.reject(new Error(`${name} ended with ${code}`)))
  return given.promise
}

export async function stop(child: ChildProcess, signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exited = once(child, 'exit')
  child.kill(signal)
  await exited
}

/** Starts any command, pinned. */
export function startCommand(core: number, command: string[]): ChildProcess {
  const [executable, ...args] = [...pinned(core), ...command]
  return spawn(executable!, args, { stdio: ['ignore', 'ignore', 'inherit'] })
}

export interface Usage {
  cpuSeconds: number
  residentBytes: number
}

const ticksPerSecond = 100

/** Of one process (Linux); undefined when it is gone. */
export function usageOfOne(pid: number): Usage | undefined {
  try {
    return statOf(String(pid))
  } catch {
    return undefined
  }
}

// The name in brackets may hold spaces; the fields of interest follow it.
function statOf(pid: string): Usage {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.split(' ')
  return {
    cpuSeconds: (Number(fields[11]) + Number(fields[12])) / ticksPerSecond,
    residentBytes: Number(fields[21]) * 4_096,
  }
}

/** Of a process and its children (Linux). */
export function usageOf(pid: number): Usage {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ')
  const total = { cpuSeconds: 0, residentBytes: 0 }
  for (const id of [String(pid), ...children.filter((child) => child !== '')]) {
    const { cpuSeconds, residentBytes } = statOf(id)
    total.cpuSeconds += cpuSeconds
    total.residentBytes += residentBytes
  }
  return total
}
