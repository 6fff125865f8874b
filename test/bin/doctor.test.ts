// `nearcast doctor` as a child process: exit code and both outputs.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { nearcast } from './command.ts'

const folder = mkdtempSync(path.join(tmpdir(), 'nearcast-doctor-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

test('looks at the machine where no config is given', async () => {
  const { code, stdout } = await nearcast(['doctor', '--json'], { cwd: folder })
  const report = JSON.parse(stdout)
  const names = report.findings.map(({ name }: { name: string }) => name)
  expect(names).toEqual(expect.arrayContaining(['node', 'ffmpeg', 'port 7000', 'disk']))
  expect(code).toBe(report.ok ? 0 : 1)
})

test('fails with a way out when a port is taken and the coordinator is away', async () => {
  const taken = createServer()
  await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve))
  const { port } = taken.address() as { port: number }
  const file = path.join(folder, 'gateway.yaml')
  writeFileSync(
    file,
    `role: gateway
node: { id: gw-1 }
dataDir: .
cluster: { coordinator: "http://127.0.0.1:1", secret: ${'x'.repeat(40)} }
listen: { host: 127.0.0.1, port: ${port} }
admin: { port: 0 }
`,
  )
  const { code, stdout } = await nearcast(['doctor', '--config', file])
  taken.close()
  expect(code).toBe(1)
  expect(stdout).toMatch(
    new RegExp(`^FAIL {2}port ${port} .*pid ${process.pid}.*\n +fix: Stop `, 'm'),
  )
  expect(stdout).toMatch(
    /^FAIL {2}coordinator .*http:\/\/127\.0\.0\.1:1 does not answer.*\n +fix: /m,
  )
  expect(stdout).toMatch(/^OK {4}disk /m)
  expect(stdout).not.toContain('\u001b[')
})

test('shows what is wrong with a config', async () => {
  const file = path.join(folder, 'bad.yaml')
  writeFileSync(file, 'role: gateway\nnode: { id: gw-1 }\nclustre: {}\n')
  const { code, stdout } = await nearcast(['doctor', '--config', file])
  expect(code).toBe(1)
  expect(stdout).toContain(`${file}:3:1: clustre: unknown setting; did you mean "cluster"?`)
})
