// Runs a command without showing what it prints, unless it fails: then its last lines are the explanation.
import { spawn } from 'node:child_process'
import { root } from './project.mjs'

const keptLines = 40

/** Resolves with `{ code, tail }`; `onStatus` gets the lines of file descriptor 3, where the command has one. */
export function runCaptured(command, args, { env, onStatus } = {}) {
  return new Promise((resolve) => {
    const stdio = ['ignore', 'pipe', 'pipe', ...(onStatus ? ['pipe'] : [])]
    const child = spawn(command, args, { cwd: root, env: env ?? process.env, stdio })
    const lines = []
    const collect = (chunk) => {
      lines.push(...chunk.split(/\r?\n/).filter((line) => line.trim() !== ''))
      lines.splice(0, lines.length - keptLines)
    }
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8')
      stream.on('data', collect)
    }
    child.stdio[3]?.setEncoding('utf8').on('data', (chunk) => {
      for (const line of chunk.split('\n')) onStatus(line)
    })
    child.once('error', (err) => resolve({ code: 127, tail: err.message }))
    child.once('close', (code) => resolve({ code: code ?? 1, tail: lines.join('\n') }))
  })
}
