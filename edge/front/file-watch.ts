// Tells when any of some files has changed, in whatever way it was replaced: written, renamed over, or behind a
// symbolic link that was switched.
import { type FSWatcher, watch } from 'node:fs'
import { stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { Clock, Timer } from '../../common/clock.ts'
import type { Logger } from '../../common/log.ts'

export interface FileWatchOptions {
  files: readonly string[]
  clock: Clock
  log: Logger
  onChange(): void
}

// A certificate and its key are written one after the other.
const settleMs = 250
// For network file systems and switched links in the middle of a path, of which no event tells.
const pollMs = 60_000

/** Resolves once every later change will be told. */
export async function watchFiles(options: FileWatchOptions): Promise<Disposable> {
  const { files, clock, log, onChange } = options
  if (files.length === 0) return { [Symbol.dispose]() {} }
  const watchers: FSWatcher[] = []
  let settling: Timer | undefined
  let before = await fingerprint(files)

  const look = async () => {
    const now = await fingerprint(files)
    const isChanged = now !== before
    before = now
    if (isChanged) onChange()
  }
  const onEvent = () => {
    settling?.cancel()
    settling = clock.setTimeout(() => void look(), settleMs)
  }
  for (const directory of new Set(files.map((file) => dirname(file)))) {
    try {
      const watcher = watch(directory, { persistent: false }, onEvent)
      watcher.on('error', (err) => log.debug({ err, directory }, 'watch failed; polling goes on'))
      watchers.push(watcher)
    } catch (err) {
      log.debug({ err, directory }, 'cannot watch; polling instead')
    }
  }
  const poll = clock.setInterval(() => void look(), pollMs)
  // A change between the first look and the watchers has told nobody.
  onEvent()
  return {
    [Symbol.dispose]() {
      for (const watcher of watchers) watcher.close()
      settling?.cancel()
      poll.cancel()
    },
  }
}

async function fingerprint(files: readonly string[]): Promise<string> {
  const parts = await Promise.all(
    files.map(async (file) => {
      const facts = await stat(file).catch(() => undefined)
      return facts ? `${facts.ino}:${facts.size}:${facts.mtimeMs}` : 'absent'
    }),
  )
  return parts.join('|')
}
