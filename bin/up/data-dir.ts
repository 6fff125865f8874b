// The data directory of `up`: made private, held by one `up` at a time, home of the cluster's own secrets.
import { randomBytes } from 'node:crypto'
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { ServiceError } from '../../common/errors.ts'

export class DataDir implements Disposable {
  readonly path: string
  readonly #lockFile: string

  /** Throws a ServiceError with code `data-dir-in-use` when another `up` holds it. */
  constructor(path: string) {
    this.path = resolve(path)
    mkdirSync(join(this.path, 'logs'), { recursive: true, mode: 0o700 })
    this.#lockFile = join(this.path, 'up.pid')
    this.#lock()
    this.secretFile('cluster-secret', () => `ncs_${randomBytes(32).toString('base64url')}`)
  }

  file(...names: string[]): string {
    return join(this.path, ...names)
  }

  /** The content of a secret file, made at first use, readable by its owner only. */
  secretFile(name: string, make: () => string): string {
    const existing = this.readSecret(name)
    if (existing !== undefined) return existing
    const value = make()
    this.writeSecret(name, value)
    return value
  }

  readSecret(name: string): string | undefined {
    try {
      return readFileSync(this.file(name), 'utf8').trim()
    } catch {
      return undefined
    }
  }

  writeSecret(name: string, value: string): void {
    writeAtomically(this.file(name), `${value}\n`)
  }

  #lock(): void {
    for (let attempt = 0; attempt < 2; attempt++) {
      try {
        writeFileSync(this.#lockFile, `${process.pid}\n`, { flag: 'wx', mode: 0o600 })
        return
      } catch (err) {
        if ((err as NodeJS.ErrnoException).code !== 'EEXIST') throw err
      }
      const holder = Number(readFileSync(this.#lockFile, 'utf8'))
      if (isAlive(holder)) {
        throw new ServiceError(
          `${this.path} is in use by another nearcast up (process ${holder}); stop it or choose another --data`,
          { code: 'data-dir-in-use', source: 'downstream' },
        )
      }
      rmSync(this.#lockFile, { force: true })
    }
  }

  [Symbol.dispose](): void {
    rmSync(this.#lockFile, { force: true })
  }
}

/** Readers see the old file or the whole new one. */
export function writeAtomically(file: string, content: string): void {
  const temporary = `${file}.${process.pid}.tmp`
  writeFileSync(temporary, content, { mode: 0o600 })
  renameSync(temporary, file)
}

/** A number may have passed to another program since; where that cannot be seen it counts as ours. */
function isNearcast(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('nearcast')
  } catch {
    return true
  }
}

function isAlive(pid: number): boolean {
  if (!Number.isInteger(pid) || pid <= 0) return false
  try {
    process.kill(pid, 0)
    return isNearcast(pid)
  } catch (err) {
    return (err as NodeJS.ErrnoException).code === 'EPERM'
  }
}
