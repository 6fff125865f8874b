// What a node says of its machine when its process has no file descriptor left: the last it knew.
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'

const module = new URL('../../../common/cluster/machine-load.ts', import.meta.url).href

/** Opens files until none can be opened any more. */
const program = `
import { openSync } from 'node:fs'
import { MachineLoad } from ${JSON.stringify(module)}
const load = new MachineLoad()
const before = load.memoryBytes()
let code
while (!code) try { openSync('/dev/null') } catch (err) { code = err.code }
const share = load.busyShare()
process.stdout.write(JSON.stringify({ code, before, after: load.memoryBytes(), share }))
`

test('a process out of file descriptors still knows its load', async () => {
  const node = [process.execPath, '--input-type=module', '-e', program]
  const { stdout } = await promisify(execFile)('sh', [
    '-c',
    'ulimit -n 64; exec "$@"',
    'sh',
    ...node,
  ])
  const { code, before, after, share } = JSON.parse(stdout)
  expect(code).toBe('EMFILE')
  expect(before).toBeGreaterThan(0)
  expect(after).toBe(before)
  expect(share).toBeGreaterThanOrEqual(0)
  expect(share).toBeLessThanOrEqual(1)
})
