// One edge per data directory and per port: who is refused, who takes over, and what is left when a holder dies.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { systemClock } from '../../../common/clock.ts'
import { silentLogger } from '../../../common/log.ts'
import { listen } from '../../../common/net/listen.ts'
import { InstanceLock } from '../../../edge/instance-lock.ts'
import { freePort } from '../../support/free-port.ts'

const holder = fileURLToPath(new URL('../../support/lock-holder.ts', import.meta.url))
const any = { host: '127.0.0.1', port: 0 }
let dir: string
let stack: AsyncDisposableStack

beforeEach(() => {
  stack = new AsyncDisposableStack()
  dir = mkdtempSync(join(tmpdir(), 'nearcast-lock-'))
  stack.defer(() => rmSync(dir, { recursive: true, force: true }))
})

afterEach(() => stack.disposeAsync())

function acquire(takeOver = false, listeners = [any], dataDir = dir): Promise<InstanceLock> {
  const clock = systemClock
  const log = silentLogger
  return InstanceLock.acquire({ dataDir, node: 'pop-1', listeners, takeOver, clock, log })
}

/** Another process that has the lock, or says why not. */
async function another(...args: string[]): Promise<{ child: ChildProcess; said: string }> {
  const child = spawn(process.execPath, [holder, dir, ...args], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  stack.defer(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return
    child.kill('SIGKILL')
    await once(child, 'exit')
  })
  const [said] = await once(child.stdout!, 'data')
  return { child, said: String(said).trim() }
}

describe('a data directory', () => {
  test('takes a second edge only when the first has gone, and says who is there', async () => {
    const { child, said } = await another()
    expect(said).toBe('serving')
    await expect(acquire()).rejects.toMatchObject({
      code: 'instance-running',
      message: expect.stringMatching(new RegExp(`\\(pid ${child.pid}\\).*--take-over`)),
    })
    child.stdin!.end()
    await once(child, 'exit')
    using lock = await acquire()
    await lock.serve([any], async () => {})
  })

  test('is free at once when its edge is killed', async () => {
    const { child } = await another()
    child.kill('SIGKILL')
    await once(child, 'exit')
    using lock = await acquire()
    expect(lock.takesOver).toBe(false)
    await lock.serve([any], async () => {})
  })

  test('takes one of several that start at once, time and again', async () => {
    for (let round = 0; round < 3; round++) {
      const all = await Promise.all(Array.from({ length: 5 }, () => another()))
      const words = all.map(({ said }) => said)
      expect(words.filter((said) => said === 'serving')).toHaveLength(1)
      expect(words.filter((said) => /^instance-(running|starting)$/.test(said))).toHaveLength(4)
      for (const { child } of all) child.kill('SIGKILL')
      await Promise.all(
        all.map(({ child }) => child.exitCode ?? child.signalCode ?? once(child, 'exit')),
      )
    }
  })

  test('may have a path longer than the name of a socket', async () => {
    const long = join(dir, 'd'.repeat(120))
    using first = await acquire(false, [any], long)
    let released = false
    await first.serve([any], async () => {
      released = true
    })
    using second = await acquire(true, [any], long)
    await second.serve([any], async () => {})
    expect(released).toBe(true)
  })
})

describe('a take-over', () => {
  test('makes the first let go once the second serves, and no sooner', async () => {
    const steps: string[] = []
    using first = await acquire()
    await first.serve([any], async () => void steps.push('released'))
    using second = await acquire(true)
    expect(second.takesOver).toBe(true)
    await second.claimPorts()
    steps.push('opened')
    await second.serve([any], async () => {})
    expect(steps).toEqual(['opened', 'released'])
    // The second is the one to ask from now on.
    using third = await acquire(true)
    expect(third.takesOver).toBe(true)
  })

  test('that fails before it serves leaves the first as it was', async () => {
    const { child } = await another()
    const second = await acquire(true)
    second[Symbol.dispose]()
    await expect(acquire()).rejects.toMatchObject({ code: 'instance-running' })
    using third = await acquire(true)
    const said = once(child.stdout!, 'data')
    await third.serve([any], async () => {})
    expect(String(await said)).toBe('released\n')
  })

  test('of an edge that is killed meanwhile goes through', async () => {
    const { child } = await another()
    using second = await acquire(true)
    child.kill('SIGKILL')
    await once(child, 'exit')
    await second.serve([any], async () => {})
  })

  test('of an edge that stands still is refused', async () => {
    const { child } = await another()
    child.kill('SIGSTOP')
    await expect(acquire(true)).rejects.toThrow(/does not answer/)
  })

  test('goes to one at a time', async () => {
    using first = await acquire()
    await first.serve([any], async () => {})
    using _second = await acquire(true)
    await expect(acquire(true)).rejects.toMatchObject({ code: 'instance-starting' })
  })

  test('is a start where nobody is there', async () => {
    using lock = await acquire(true)
    expect(lock.takesOver).toBe(false)
  })
})

describe('a port', () => {
  async function shared(host: string, port: number): Promise<void> {
    const server = createServer()
    await listen(server, { host, port, reusePort: true })
    stack.defer(() => void server.close())
  }

  test.each([
    ['127.0.0.1', '127.0.0.1', false],
    ['::', '127.0.0.1', false],
    ['127.0.0.1', '::', false],
    ['127.0.0.2', '127.0.0.1', true],
  ])('that is shared at %s is free at %s: %s', async (taken, host, isFree) => {
    const port = await freePort()
    await shared(taken, port)
    using lock = await acquire(false, [{ host, port }])
    if (isFree) await lock.claimPorts()
    else {
      const refused = { code: 'port-taken', message: expect.stringContaining(`${process.pid}`) }
      await expect(lock.claimPorts()).rejects.toMatchObject(refused)
    }
  })

  test('is not refused to who takes over from the edge that has it', async () => {
    const port = await freePort()
    await shared('127.0.0.1', port)
    using first = await acquire(false, [{ host: '127.0.0.1', port }])
    await first.serve([{ host: '127.0.0.1', port }], async () => {})
    using second = await acquire(true, [{ host: '127.0.0.1', port }])
    await second.claimPorts()
  })

  test('is refused to who takes over from an edge that has it at another address', async () => {
    const port = await freePort()
    using first = await acquire()
    await first.serve([{ host: '127.0.0.1', port }], async () => {})
    await shared('127.0.0.2', port)
    using second = await acquire(true, [{ host: '127.0.0.2', port }])
    await expect(second.claimPorts()).rejects.toMatchObject({ code: 'port-taken' })
  })

  test('goes to one of two edges that open it at once', async () => {
    const port = String(await freePort())
    const other = join(dir, 'other')
    const [one, two] = await Promise.all([another(port), another(port, other)])
    expect([one.said, two.said].sort()).toEqual(['port-taken', 'serving'])
  })
})
