// Ladders: their shape, and reading one by its name in config/ladders or by the path of a file.
import { readFileSync } from 'node:fs'
import { isAbsolute, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parse } from 'yaml'
import { z } from 'zod'
import { messageOf, ServiceError } from '../common/errors.ts'

const shippedFolder = fileURLToPath(new URL('./ladders', import.meta.url))

export const ladderSchema = z.strictObject({
  name: z.string().min(1),
  rungs: z
    .array(
      z.strictObject({
        height: z.int().min(64).max(4320),
        videoBitsPerSecond: z.int().min(50_000).max(200_000_000),
      }),
    )
    .max(10)
    .refine((rungs) => new Set(rungs.map((rung) => rung.height)).size === rungs.length, {
      message: 'two rungs have the same height',
    }),
  audioBitsPerSecond: z.int().min(16_000).max(640_000).default(128_000),
  preset: z
    .enum(['ultrafast', 'superfast', 'veryfast', 'faster', 'fast', 'medium'])
    .default('superfast'),
})
export type Ladder = z.infer<typeof ladderSchema>

/** Throws a `ServiceError` whose message names the file and what is wrong in it. */
export function readLadder(nameOrPath: string): Ladder {
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
    value = parse(readFileSync(path, 'utf8'))
  } catch (err) {
    throw fail(messageOf(err), err)
  }
  const parsed = ladderSchema.safeParse(value)
  if (parsed.success) return parsed.data
  const { path: where, message } = parsed.error.issues[0]!
  throw fail(`${where.join('.') || 'the file'}: ${message}`)
}
