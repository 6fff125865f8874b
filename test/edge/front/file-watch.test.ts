// Changes of files are told once they have settled, by event or by poll.
import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { systemClock } from '../../../common/clock.ts'
import { silentLogger } from '../../../common/log.ts'
import { watchFiles } from '../../../edge/front/file-watch.ts'
import { FakeClock } from '../../support/fake-clock.ts'

let dir: string
let file: string
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'nearcast-watch-'))
  file = join(dir, 'a.pem')
  await writeFile(file, 'one')
})
afterEach(() => rm(dir, { recursive: true }))

async function changeOf(change: () => Promise<unknown>): Promise<void> {
  const changed = Promise.withResolvers<void>()
  using _watch = await watchFiles({
    files: [file],
    clock: systemClock,
    log: silentLogger,
    onChange: () => changed.resolve(),
  })
  await change()
  await changed.promise
}

it('tells of a file that was written', () => changeOf(() => writeFile(file, 'two!')))

it('tells of a file that was renamed over', () =>
  changeOf(async () => {
    await writeFile(`${file}.new`, 'new')
    await rename(`${file}.new`, file)
  }))

it('tells of a file that was removed', () => changeOf(() => rm(file)))

it('looks by itself where no event tells', async () => {
  const absent = join(dir, 'no', 'such', 'folder', 'b.pem')
  const clock = new FakeClock()
  const changed = Promise.withResolvers<void>()
  const target = { files: [absent, file], clock, log: silentLogger }
  using _watch = await watchFiles({ ...target, onChange: () => changed.resolve() })
  await writeFile(file, 'by poll')
  await clock.advance(60_000)
  await changed.promise
})

it('tells nothing of other files, and each change once', async () => {
  const clock = new FakeClock()
  let told = 0
  let changed = Promise.withResolvers<void>()
  using _watch = await watchFiles({
    files: [file],
    clock,
    log: silentLogger,
    onChange() {
      told++
      changed.resolve()
    },
  })
  for (const [i, content] of ['first change', 'second change'].entries()) {
    await writeFile(join(dir, 'other'), content)
    await clock.advance(120_000)
    changed = Promise.withResolvers()
    // Whole at once: the last look for `other` may still be under way, and half a file is another one.
    await writeFile(`${dir}.new`, content)
    await rename(`${dir}.new`, file)
    await clock.advance(60_000)
    await changed.promise
    expect(told).toBe(i + 1)
  }
})

it('has nothing to do without files', async () => {
  const clock = new FakeClock()
  using _watch = await watchFiles({ files: [], clock, log: silentLogger, onChange: expect.fail })
  await clock.advance(300_000)
})
