// Lets a program trust the cluster's CA, and nothing else, without touching the trust store of the machine: the
// program runs in a mount namespace where another folder lies over /etc/ssl/certs.
import { copyFileSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { unshareFlags } from './requirements.ts'

const systemFolder = '/etc/ssl/certs'

export class TrustStore implements Disposable {
  readonly #folder: string

  constructor(caFile: string) {
    this.#folder = mkdtempSync(join(tmpdir(), 'nearcast-trust-'))
    mkdirSync(this.#folder, { recursive: true })
    // GnuTLS (ffmpeg, GStreamer) reads the one bundle, mbed TLS (OBS) every file of the folder.
    copyFileSync(caFile, join(this.#folder, 'ca-certificates.crt'))
    copyFileSync(caFile, join(this.#folder, 'nearcast.pem'))
  }

  /** The command line that runs another one with this store in place of the machine's. */
  commandFor(command: readonly string[]): string[] {
    const script = `mount --bind "$1" ${systemFolder} && shift && exec "$@"`
    return ['unshare', ...unshareFlags(), 'sh', '-c', script, 'sh', this.#folder, ...command]
  }

  [Symbol.dispose](): void {
    rmSync(this.#folder, { recursive: true, force: true })
  }
}
