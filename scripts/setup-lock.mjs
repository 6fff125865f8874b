// Lets one set-up at a time change this checkout: several `npm start` side by side wait for the first.
import { mkdirSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { stateDir } from './project.mjs'

const lockFile = join(stateDir, 'setup.lock')
// The holder touches its file each second; process ids would lie in containers, where they come again.
const abandonedAfterMs = 6_000

/** Makes what is not ready, unless somebody else has made it while we waited. */
export async function makeOnce(isReady, make) {
  if (isReady()) return
  await withSetupLock(async () => {
    if (!isReady()) await make()
  })
}

async function withSetupLock(work) {
  mkdirSync(stateDir, { recursive: true })
  let told = false
  while (!take()) {
    if (!told) process.stderr.write('Waiting for another set-up of this folder …\n')
    told = true
    await sleep(500)
  }
  const heartbeat = setInterval(() => utimesSync(lockFile, new Date(), new Date()), 1000)
  try {
    return await work()
  } finally {
    clearInterval(heartbeat)
    rmSync(lockFile, { force: true })
  }
}

function take() {
  try {
    writeFileSync(lockFile, `${process.pid}\n`, { flag: 'wx' })
    return true
  } catch (err) {
    if (err.code !== 'EEXIST') throw err
  }
  const touchedAt = statSync(lockFile, { throwIfNoEntry: false })?.mtimeMs
  if (touchedAt !== undefined && Date.now() - touchedAt > abandonedAfterMs) {
    rmSync(lockFile, { force: true })
  }
  return false
}
