// A lock on a file that one process at a time can hold. It is the kernel's own (POSIX record locks, taken through SQLite,
// since Node has no call for them): it ends with its holder, also by SIGKILL, is never stale, and holds across containers
// that share the folder. Of two that ask at once one gets it.
import { readFile, stat } from 'node:fs/promises'
import { DatabaseSync } from 'node:sqlite'

const busy = 5

export class KernelLock implements Disposable {
  #database: DatabaseSync | undefined

  private constructor(database: DatabaseSync) {
    this.#database = database
  }

  /** Undefined: another has it. Throws where the file cannot be made. */
  static take(file: string): KernelLock | undefined {
    const database = new DatabaseSync(file)
    try {
      // Nothing is ever written, so that there need be no journal beside the file.
      database.exec('PRAGMA journal_mode = OFF; BEGIN EXCLUSIVE')
      return new KernelLock(database)
    } catch (err) {
      database.close()
      if ((err as { errcode?: number }).errcode === busy) return undefined
      throw err
    }
  }

  [Symbol.dispose](): void {
    this.#database?.close()
    this.#database = undefined
  }
}

/** The process that holds it, where /proc shows it. */
export async function holderOf(file: string): Promise<number | undefined> {
  try {
    const { ino } = await stat(file)
    const line = new RegExp(`POSIX .*\\bWRITE\\s+(\\d+)\\s+\\S+:${ino}\\s`)
    const pid = Number(line.exec(await readFile('/proc/locks', 'latin1'))?.[1])
    return pid > 0 ? pid : undefined
  } catch {
    return undefined
  }
}
