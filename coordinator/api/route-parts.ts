// Pieces that the route definitions of the API share.
import { z } from '@hono/zod-openapi'
import { liveIdSchema } from '../../common/contract/channel.ts'
import { Problem, problemSchema } from '../problem.ts'

export const secured = [{ bearer: [] }]

/** Any other status than those listed is a problem document. */
export const problems = {
  default: {
    description: 'Problem document (RFC 9457)',
    content: { 'application/problem+json': { schema: problemSchema } },
  },
} as const

export function json<Schema extends z.ZodType>(schema: Schema, description = 'OK') {
  return { description, content: { 'application/json': { schema } } } as const
}

export function body<Schema extends z.ZodType>(schema: Schema) {
  return { required: true, content: { 'application/json': { schema } } } as const
}

export const liveIdParams = z.object({
  liveId: liveIdSchema.clone().openapi({ param: { name: 'liveId', in: 'path' }, example: 'demo' }),
})

export const uuidParams = z.object({
  id: z.uuid().openapi({ param: { name: 'id', in: 'path' } }),
})

export function limitOf(defaultLimit: number, maximum: number) {
  return z.coerce.number().int().min(1).max(maximum).default(defaultLimit)
}

export function timeText(ms: number): string
export function timeText(ms: number | null): string | null
export function timeText(ms: number | null): string | null {
  return ms === null ? null : new Date(ms).toISOString()
}

export function channelUnknown(liveId: string): Problem {
  return new Problem(404, 'channel-unknown', `There is no channel "${liveId}".`)
}
