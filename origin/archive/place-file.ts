// Puts a file in place so that its name stands for whole and lasting bytes, and never for two different ones:
// write under a temporary name, sync, link.
import { type FileHandle, link, open, readFile, rename, rm, stat } from 'node:fs/promises'

/** The name is taken by other bytes. */
export class FileConflictError extends Error {
  constructor(path: string) {
    super(`${path} holds other bytes already`)
    this.name = 'FileConflictError'
  }
}

/** The temporary name must lie on the same file system, and be nobody else's. */
export async function placeFile(
  path: string,
  temporary: string,
  bytes: readonly Buffer[],
): Promise<void> {
  try {
    const file = await open(temporary, 'w')
    try {
      await writeAll(file, bytes)
      await file.datasync()
    } finally {
      await file.close()
    }
    await give(temporary, path, bytes)
  } finally {
    await rm(temporary, { force: true }).catch(() => {})
  }
}

/** Less than IOV_MAX everywhere. */
const maxBuffers = 512

/** A vector write may stop short: of what is left the first buffer is cut. */
async function writeAll(file: FileHandle, bytes: readonly Buffer[]): Promise<void> {
  let left = bytes.filter((it) => it.length > 0)
  while (left.length > 0) {
    let { bytesWritten } = await file.writev(left.slice(0, maxBuffers))
    let whole = 0
    while (whole < left.length && bytesWritten >= left[whole]!.length) {
      bytesWritten -= left[whole]!.length
      whole++
    }
    left = left.slice(whole)
    if (bytesWritten > 0) left[0] = left[0]!.subarray(bytesWritten)
  }
}

async function give(temporary: string, path: string, bytes: readonly Buffer[]): Promise<void> {
  try {
    await link(temporary, path)
  } catch (err) {
    const { code } = err as NodeJS.ErrnoException
    if (code === 'EEXIST') {
      if (!(await holds(path, bytes))) throw new FileConflictError(path)
    } else if (code === 'EPERM' || code === 'ENOTSUP' || code === 'ENOSYS' || code === 'EMLINK') {
      // No hard links here. There is one writer per broadcast, so nobody takes the name in between.
      if (!(await stat(path).catch(() => undefined))) await rename(temporary, path)
      else if (!(await holds(path, bytes))) throw new FileConflictError(path)
    } else throw err
  }
}

async function holds(path: string, bytes: readonly Buffer[]): Promise<boolean> {
  return (await readFile(path)).equals(Buffer.concat(bytes))
}
