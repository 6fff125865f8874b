// Child processes of a benchmark: each on its own core, all gone when the benchmark ends.
import { type ChildProcess, execFileSync, fork, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'

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

/** Starts any command, pinned. A quiet one says on standard error what is of no interest. */
export function startCommand(
  core: number,
  command: string[],
  { isQuiet = false }: { isQuiet?: boolean } = {},
): ChildProcess {
  const [executable, ...args] = [...pinned(core), ...command]
  return spawn(executable!, args, { stdio: ['ignore', 'ignore', isQuiet ? 'ignore' : 'inherit'] })
}

/** Runs a command to its end, pinned; resolves with what it wrote, rejects with it where it failed. */
export async function runCommand(core: number, command: string[]): Promise<string> {
  const [executable, ...args] = [...pinned(core), ...command]
  const child = spawn(executable!, args, { stdio: ['ignore', 'pipe', 'pipe'] })
  const pieces: Buffer[] = []
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (it) => pieces.push(it))
  const [code] = await once(child, 'close')
  const output = Buffer.concat(pieces).toString()
  if (code !== 0) throw new Error(`${command[0]} ended with ${code}:\n${output}`)
  return output
}

export interface Usage {
  cpuSeconds: number
  residentBytes: number
}

const ticksPerSecond = 100
const pageBytes = 4_096

/** Of one process (Linux); undefined when it is gone. */
export function usageOfOne(pid: number): Usage | undefined {
  try {
    return statOf(String(pid))
  } catch {
    return undefined
  }
}

/** Open files of a process (Linux). */
export function openFilesOf(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).length
}

/** In the buffers of all TCP sockets of this machine (Linux). */
export function socketBytes(): number {
  const [, pages] = /^TCP: .* mem (\d+)/m.exec(readFileSync('/proc/net/sockstat', 'utf8')) ?? []
  return Number(pages ?? 0) * pageBytes
}

// The name in brackets may hold spaces; the fields of interest follow it.
function statOf(pid: string): Usage {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.split(' ')
  return {
    cpuSeconds: (Number(fields[11]) + Number(fields[12])) / ticksPerSecond,
    residentBytes: Number(fields[21]) * pageBytes,
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
