// Reads a ladder by its name in config/ladders or by the path of a file.
import { readFile } from 'node:fs/promises'
import { isAbsolute, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parse } from 'yaml'
import { messageOf, ServiceError } from '../../common/errors.ts'
import { type Ladder, ladderSchema } from './ladder.ts'

const shippedFolder = fileURLToPath(new URL('../../config/ladders', import.meta.url))

/** Throws a `ServiceError` whose message names the file and what is wrong in it. */
export async function readLadder(nameOrPath: string): Promise<Ladder> {
  const isPath = isAbsolute(nameOrPath) || /[/\\]|\.ya?ml$/.test(nameOrPath)
  const path = isPath ? nameOrPath : join(shippedFolder, `${nameOrPath}.yaml`)
  const fail = (reason: string, cause?: unknown) =>
    new ServiceError(`Ladder ${path}: ${reason}`, {
      code: 'ladder-invalid',
      source: 'internal',
      cause,
    })
  let value: unknown
  try {
    value = parse(await readFile(path, 'utf8'))
  } catch (err) {
    throw fail(messageOf(err), err)
  }
  const parsed = ladderSchema.safeParse(value)
  if (parsed.success) return parsed.data
  const { path: where, message } = parsed.error.issues[0]!
  throw fail(`${where.join('.') || 'the file'}: ${message}`)
}
