// What an edge would do with a URL, in words for a person.
import type { ExplainedObject, Why } from '../common/cache/cache-report.ts'
import type { Inspection } from '../common/cache/inspection.ts'
import type { ObjectKind } from '../common/cache/media-path.ts'

const kinds: Record<ObjectKind, string> = {
  multivariant: 'the multivariant playlist',
  'media-playlist': 'a media playlist',
  mpd: 'an MPD',
  status: 'the state of the channel',
  init: 'an initialisation segment',
  segment: 'a segment',
  part: 'a part',
}

export function whyText(why: Why): string {
  const lines: [string, string][] = [['path', why.path]]
  if (why.page !== undefined) {
    lines.push(['is', why.page], ['next', 'is answered by this node, without the cache'])
    return textOf(why.node, lines)
  }
  if (why.object) lines.push(['is', objectWords(why.object)])
  for (const { name, kept, why: reason } of why.query) {
    lines.push(['query', `${name} is ${kept ? 'part of the key' : 'dropped'}: ${reason}`])
  }
  if (why.refused) {
    const { status, rule, why: reason } = why.refused
    lines.push(['next', `is refused with ${status}, ${rule}: ${reason}`])
    return textOf(why.node, lines)
  }
  lines.push(['key', why.key!], ['kept', policyWords(why.object!)])
  lines.push(['stored', storedWords(why.cache!)], ['fill', fillWords(why.cache!)])
  if (why.cache!.live) lines.push(['live', liveWords(why.cache!.live)])
  lines.push(['asks', why.gateways.join(', then ') || 'nobody: this edge knows no gateway'])
  lines.push(['next', nextWords(why)])
  return textOf(why.node, lines)
}

function textOf(node: string, lines: readonly [string, string][]): string {
  const all = [['node', node], ...lines] as const
  return all.map(([name, words]) => `${name.padEnd(7)} ${words}`).join('\n')
}

function objectWords(object: ExplainedObject): string {
  const { scope, id, kind, rendition, take, number } = object
  return [
    `${kinds[kind]} of ${scope === 'live' ? 'live id' : 'recording'} ${id}`,
    rendition !== undefined && `rendition ${rendition}`,
    take !== undefined && `take ${take}`,
    number !== undefined && `number ${number}`,
    object.isHeldReload && 'held back until the playlist has got that far',
  ]
    .filter((part) => part !== false)
    .join(', ')
}

function policyWords({ isImmutable, ttlMs, staleIfErrorMs }: ExplainedObject): string {
  if (isImmutable) return 'until there is no more room: it never changes under this URL'
  return `fresh for ${seconds(ttlMs)} at most; up to ${seconds(staleIfErrorMs)} old it stands in while upstream fails`
}

function storedWords({ stored }: Inspection): string {
  if (!stored) return 'no'
  const { status, bytes, ageSeconds, freshMs, staleMs, isImmutable } = stored
  const what = `${status === 200 ? '' : `a ${status}, `}${size(bytes)}, ${ageSeconds} s old`
  if (isImmutable && status === 200) return `yes: ${what}`
  if (freshMs > 0) return `yes: ${what}, fresh for ${seconds(freshMs)} more`
  const use = staleMs > 0 ? `of use for ${seconds(staleMs)} more if upstream fails` : 'of no use'
  return `yes: ${what}, stale since ${seconds(-freshMs)}, ${use}`
}

function fillWords({ fill }: Inspection): string {
  if (!fill) return 'none under way'
  const { state, sinceMs, status, bytes, length, readers, isHeld, origins } = fill
  const asked = origins.length > 0 ? `, asked of ${origins.join(', then ')}` : ''
  const got =
    state === 'waiting'
      ? isHeld
        ? 'upstream holds it back'
        : 'no answer yet'
      : `a ${status}, ${size(bytes)} of ${length === undefined ? 'an unknown length' : size(length)}`
  return `under way for ${seconds(sinceMs)}${asked}: ${got}, ${readers} ${readers === 1 ? 'request follows' : 'requests follow'}`
}

/** Of a playlist that the edge reads: it has no object in the store. */
function liveWords({ version, waitingMs, held }: NonNullable<Inspection['live']>): string {
  const parts = ['read here, with holds and versions of its own']
  if (version) {
    const { bytes, ageSeconds, freshMs, isEnded } = version
    const life =
      freshMs > 0 ? `fresh for ${seconds(freshMs)} more` : `out of date since ${seconds(-freshMs)}`
    parts.push(
      `${isEnded ? 'the last' : 'the newest'} version has ${size(bytes)}, ${ageSeconds} s old, ${life}`,
    )
  } else parts.push('no version is known')
  if (waitingMs !== undefined)
    parts.push(`upstream has held our request for the next one for ${seconds(waitingMs)}`)
  if (held > 0) parts.push(`${held} ${held === 1 ? 'request is' : 'requests are'} held`)
  return parts.join('; ')
}

function nextWords({ cache, gateways }: Why): string {
  const { next, stored, fill } = cache!
  switch (next) {
    case 'too-far':
      return 'is refused with 400, too-far: the position is too far ahead of what is live'
    case 'held':
      return 'is held here until the playlist has got that far: one request upstream waits for all'
    case 'hit':
      return !stored || stored.status === 200
        ? 'is a hit, from memory'
        : `gets the ${stored.status} that is held for ${seconds(stored.freshMs)} more, so that upstream is not asked by everybody`
    case 'stale-hit':
      return 'gets the stale object: upstream has just failed and is not asked for a moment'
    case 'joins':
      return fill?.isHeld
        ? 'joins the fill, and waits with it for news of the playlist'
        : 'joins the fill: upstream is not asked again'
    case 'fill':
      return gateways.length > 0
        ? `starts a fill from ${gateways[0]}`
        : 'starts a fill, which fails: no gateway is known'
    case 'overloaded':
      return 'gets a 503 with Retry-After: too many fills are under way'
  }
}

function seconds(ms: number): string {
  if (ms < 10_000) return `${(ms / 1000).toFixed(ms < 1_000 ? 2 : 1)} s`
  return ms < 120_000 ? `${Math.round(ms / 1000)} s` : `${Math.round(ms / 60_000)} min`
}

function size(bytes: number): string {
  if (bytes < 1_000) return `${bytes} B`
  return bytes < 1_000_000 ? `${(bytes / 1e3).toFixed(1)} kB` : `${(bytes / 1e6).toFixed(2)} MB`
}
