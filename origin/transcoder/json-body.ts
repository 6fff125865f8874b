// The body of a request that another node sends, as what it must be.
import type { IncomingMessage } from 'node:http'
import type { z } from 'zod'

/** Undefined where it is longer than that, no JSON, or something else. */
export async function readJsonBody<Body>(
  request: IncomingMessage,
  schema: z.ZodType<Body>,
  maxBytes: number,
): Promise<Body | undefined> {
  const pieces: Buffer[] = []
  let size = 0
  for await (const piece of request) {
    size += (piece as Buffer).length
    if (size > maxBytes) return undefined
    pieces.push(piece as Buffer)
  }
  try {
    return schema.safeParse(JSON.parse(Buffer.concat(pieces).toString())).data
  } catch {
    return undefined
  }
}
