// A role of `up` that dies, with the real coordinator as the role.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { RoleChild } from '../../../bin/up/role-child.ts'

let folder: string
let config: string
let child: RoleChild

beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'nearcast-role-'))
  config = path.join(folder, 'coordinator.yaml')
  writeFileSync(
    config,
    `role: coordinator
node: { id: co-1 }
dataDir: .
cluster: { secret: ${'x'.repeat(40)} }
listen: { port: 0 }
admin: { port: 0 }
`,
    { mode: 0o600 },
  )
})

afterEach(async () => {
  await child.stop()
  rmSync(folder, { recursive: true, force: true })
})

/** Starts the role, kills it as soon as it serves, and answers what is said of it. */
async function killed(restart: boolean, onRestart = () => {}): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>()
  child = new RoleChild({
    id: 'co-1',
    args: ['coordinator', '--config', config],
    logFile: path.join(folder, 'co-1.log'),
    restart,
    onGone: resolve,
    onRestart,
  })
  await child.start()
  child.signal('SIGKILL')
  return promise
}

test('a role that is killed is started again', async () => {
  const restarted = Promise.withResolvers<void>()
  const said = await killed(true, () => restarted.resolve())
  expect(said).toBe('co-1 was killed by SIGKILL; starting it again in 0.5 s')
  const pid = child.pid
  await restarted.promise
  expect(child.pid).not.toBe(pid)
})

test('a role that is killed stays down where that is asked for, and up says so', async () => {
  const said = await killed(false)
  expect(said).toBe('co-1 was killed by SIGKILL and stays down (--no-restart)')
})
