// Small files of keys and certificates, written whole or not at all.
import { randomBytes } from 'node:crypto'
import { link, open, readFile, rename, rm } from 'node:fs/promises'

const keyMode = 0o600
const certificateMode = 0o644

export type PemKind = 'key' | 'certificate'

/** Undefined where there is no such file. */
export async function readPem(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, 'utf8')
  } catch (err) {
    if ((err as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw err
  }
}

/** Puts the file there unless somebody was faster; answers what is there in the end. */
export async function createPem(file: string, kind: PemKind, text: string): Promise<string> {
  const temporary = await writeBeside(file, kind, text)
  try {
    // A hard link to a name that exists fails, also across processes: the first one wins, whole.
    await link(temporary, file)
    return text
  } catch (err) {
    if ((err as NodeJS.ErrnoException).code !== 'EEXIST') throw err
    return await readFile(file, 'utf8')
  } finally {
    await rm(temporary, { force: true })
  }
}

/** Puts the file there, in place of what was. */
export async function replacePem(file: string, kind: PemKind, text: string): Promise<void> {
  const temporary = await writeBeside(file, kind, text)
  await rename(temporary, file)
}

async function writeBeside(file: string, kind: PemKind, text: string): Promise<string> {
  const temporary = `${file}.${randomBytes(6).toString('hex')}.tmp`
  const handle = await open(temporary, 'wx', kind === 'key' ? keyMode : certificateMode)
  try {
    await handle.writeFile(text)
    await handle.sync()
  } finally {
    await handle.close()
  }
  return temporary
}
