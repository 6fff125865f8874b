// The wrapper around `up`: one Ctrl-C is one signal, and nothing outlives the wrapper.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { afterEach, expect, test } from 'vitest'
import { isRunning } from '../support/processes.ts'
import { until } from '../support/until.ts'

const foreground = fileURLToPath(new URL('../../scripts/foreground.mjs', import.meta.url))

// Tells what it hears; leaves with code 7 on a line of its parent's choosing: the second keystroke or a lost parent.
const child = `
  let heard = 0
  const hear = (what) => { console.log('heard ' + what); if (++heard === 2) process.exit(7) }
  process.on('SIGINT', hear)
  process.on('SIGTERM', hear)
  process.once('disconnect', () => { console.log('heard disconnect'); process.exit(7) })
  console.log('child ' + process.pid)
`
const wrapper = `
  import { runForeground } from ${JSON.stringify(foreground)}
  process.exitCode = await runForeground(process.execPath, ['-e', ${JSON.stringify(child)}], { ownGroup: true })
`

const started: ChildProcess[] = []

afterEach(() => {
  for (const process of started.splice(0)) process.kill('SIGKILL')
})

async function startWrapper() {
  const process = spawn(globalThis.process.execPath, ['--input-type=module', '-e', wrapper], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  started.push(process)
  const lines = createInterface(process.stdout)[Symbol.asyncIterator]()
  const nextLine = async () => (await lines.next()).value as string | undefined
  const childPid = Number((await nextLine())?.replace('child ', ''))
  return { process, nextLine, childPid }
}

test('passes one signal on for one keystroke that arrives twice', async () => {
  const { process, nextLine } = await startWrapper()
  process.kill('SIGINT')
  process.kill('SIGINT')
  expect(await nextLine()).toBe('heard SIGINT')
  // A signal of another kind within the same moment is the same wish to stop; a later one is a second wish.
  await until('the wrapper takes a second keystroke', () => {
    process.kill('SIGTERM')
    return process.exitCode !== null
  })
  expect(await nextLine()).toBe('heard SIGTERM')
  expect(process.exitCode).toBe(7)
})

test('takes the child down when the wrapper is killed', async () => {
  const { process, nextLine, childPid } = await startWrapper()
  expect(isRunning(childPid)).toBe(true)
  const gone = once(process, 'exit')
  process.kill('SIGKILL')
  await gone
  expect(await nextLine()).toBe('heard disconnect')
  await until('the child is gone', () => !isRunning(childPid))
})
