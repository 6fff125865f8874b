// How far an MPD has got, read from its text: the broadcast and take of its newest Period, and when it was published.
import { type Progress, takeOf } from './version-order.ts'

const maxLength = 1024 * 1024
const maxPeriods = 1_000

/** Undefined where the text is not an MPD with times of its own. */
export function readMpdProgress(text: string): Progress | undefined {
  if (text.length > maxLength || !text.trimEnd().endsWith('</MPD>')) return undefined
  const root = /<MPD\s[^>]{1,4096}>/.exec(text)?.[0]
  const type = root && attribute(root, 'type')
  if (type !== 'dynamic' && type !== 'static') return undefined
  const publishedMs = Date.parse(attribute(root!, 'publishTime') ?? '')
  const isEnded = type === 'static'
  if (Number.isNaN(publishedMs) && !isEnded) return undefined
  const periods = text.match(/<Period\s[^>]{1,1024}>/g) ?? []
  const newest = periods.at(-1)
  if (!newest || periods.length > maxPeriods) return undefined
  return {
    take: takeOf(attribute(newest, 'id')),
    first: 0,
    // A static one has no such time, and nothing comes after it.
    position: [isEnded ? Number.MAX_SAFE_INTEGER : publishedMs],
    discontinuities: periods.length,
    isEnded,
  }
}

function attribute(tag: string, name: string): string | undefined {
  return new RegExp(`\\s${name}="([^"]{0,256})"`).exec(tag)?.[1]
}
