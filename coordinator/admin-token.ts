// The bearer of the API: from the config, or made at first start and kept in a file that only we can read.
import { randomBytes } from 'node:crypto'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { ServiceError } from '../common/errors.ts'
import type { Logger } from '../common/log.ts'

const minimumLength = 16

export async function loadAdminToken(
  settings: { adminToken?: string | undefined; adminTokenFile: string },
  log: Logger,
): Promise<string> {
  if (settings.adminToken !== undefined) return settings.adminToken
  const file = settings.adminTokenFile
  const made = `nct_${randomBytes(24).toString('base64url')}`
  try {
    await mkdir(dirname(file), { recursive: true })
    // `wx` fails where the file exists, so that two starts at once agree on one token.
    await writeFile(file, `${made}\n`, { mode: 0o600, flag: 'wx' })
    log.info({ file }, 'made the admin token')
    return made
  } catch (err) {
    if ((err as NodeJS.ErrnoException).code !== 'EEXIST') throw err
  }
  const token = (await readFile(file, 'utf8')).trim()
  if (token.length < minimumLength) {
    throw new ServiceError(
      `${file} holds no admin token of at least ${minimumLength} characters.`,
      {
        code: 'admin-token-invalid',
        source: 'internal',
      },
    )
  }
  return token
}
