import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { expect, test } from 'vitest'
import { FrozenTree, isStopped } from './frozen-tree.ts'
import { descendantsOf, isRunning } from './processes.ts'
import { until } from './until.ts'

/** A shell with a shell below it that counts on stdout. */
const script = "sh -c 'i=0; while :; do i=$((i+1)); echo $i; sleep 0.02; done'; exit 0"

/** A child that ended as its parent was stopped waits to be reaped, and is nobody's to stop. */
const stands = (pid: number) => isStopped(pid) || !isRunning(pid)

test('a frozen tree does nothing, all of it, and goes on where it stopped', async () => {
  const child = spawn('sh', ['-c', script], { stdio: ['ignore', 'pipe', 'ignore'], detached: true })
  let lines = 0
  child.stdout.on('data', (bytes: Buffer) => {
    lines += bytes.toString().split('\n').length - 1
  })
  try {
    await until('the first lines', () => lines > 3)
    const frozen = FrozenTree.freeze(child.pid!)
    expect(frozen.pids[0]).toBe(child.pid)
    expect(frozen.pids.length).toBeGreaterThanOrEqual(2)
    await until('all to stand', () => frozen.pids.every(stands))
    expect(descendantsOf(child.pid!).every(({ pid }) => stands(pid))).toBe(true)
    const before = lines
    frozen.thaw()
    frozen.thaw()
    await until('all to go on', () => !frozen.pids.some(isStopped))
    await until('more lines', () => lines > before + 2)
  } finally {
    process.kill(-child.pid!, 'SIGKILL')
    await once(child, 'exit')
  }
})

test('what is gone is not frozen', async () => {
  const child = spawn('true', { stdio: 'ignore' })
  await once(child, 'exit')
  expect(FrozenTree.freeze(child.pid!).pids).toEqual([])
  expect(isStopped(child.pid!)).toBe(false)
})
