// Runs one long-lived child in the foreground: it gets our signals exactly once, it goes when we go, and its
// exit code becomes ours.
import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { childEnv, root } from './project.mjs'

// The terminal sends Ctrl-C to the whole process group and npm passes it on as well: that is one keystroke.
const sameKeystrokeMs = 500
const parentCheckMs = 1_000

/**
 * Resolves with the exit code. With `ownGroup` the child leads a process group of its own, so that a Ctrl-C
 * reaches it by way of us only, and an IPC channel tells it when we are gone, however we went.
 */
export function runForeground(command, args, { ownGroup = false } = {}) {
  return new Promise((resolve) => {
    const child = spawn(command, args, {
      cwd: root,
      env: childEnv({ packagesFirst: true }),
      stdio: ownGroup ? ['inherit', 'inherit', 'inherit', 'ipc'] : 'inherit',
      detached: ownGroup,
    })
    let forwardedAt
    const forward = (signal) => {
      const now = performance.now()
      if (forwardedAt !== undefined && now - forwardedAt < sameKeystrokeMs) return
      forwardedAt = now
      child.kill(signal)
    }
    const signals = ['SIGINT', 'SIGTERM', 'SIGHUP']
    for (const signal of signals) process.on(signal, forward)
    const starters = npmProcesses()
    const watch = setInterval(() => {
      if (npmProcesses() !== starters && forwardedAt === undefined) forward('SIGTERM')
    }, parentCheckMs)
    const finish = (code) => {
      clearInterval(watch)
      for (const signal of signals) process.off(signal, forward)
      if (child.connected) child.disconnect()
      resolve(code)
    }
    child.once('error', (err) => {
      process.stderr.write(`${command}: ${err.message}\n`)
      finish(127)
    })
    child.once('exit', (code, signal) => finish(code ?? (signal === 'SIGINT' ? 130 : 143)))
  })
}

/**
 * The shell and the npm above us, where there are such: when they change, they are gone. npm passes TERM on to
 * its shell only, which dies of it without a word to us, and KILL says nothing to anybody.
 */
function npmProcesses() {
  if (process.env.npm_lifecycle_event === undefined) return ''
  const shell = readProcess(process.ppid)
  return `${process.ppid} ${shell?.isShell ? shell.parent : ''}`
}

/** From /proc, where the system has it. */
function readProcess(pid) {
  try {
    const [, name, parent] =
      /\((.*)\) . (\d+)/.exec(readFileSync(`/proc/${pid}/stat`, 'utf8')) ?? []
    return { isShell: /^(ba|da|z)?sh$/.test(name), parent }
  } catch {
    return undefined
  }
}
