// What operators ask of the cache of an edge. Each answer is plain data; where several workers answer, theirs are merged.
import { targetOf } from '../../common/cache/cache-key.ts'
import { deliveryProtocols, requestResults } from '../../common/cache/cache-metrics.ts'
import type { ExplainedObject, Top, Why } from '../../common/cache/cache-report.ts'
import type { FillCache } from '../../common/cache/fill-cache.ts'
import { policyOf } from '../../common/cache/freshness.ts'
import type { Inspection } from '../../common/cache/inspection.ts'
import { classify, isMalformed, type MediaObject } from '../../common/cache/media-path.ts'
import { pathOfUrl, queryParts, whyNoObject } from '../../common/cache/url-words.ts'

export interface WhyParts {
  name: string
  cache: Pick<FillCache, 'inspect'>
  pickGateways: (id: string) => readonly string[]
  /** Says what answers a path that is no media; undefined: nothing. */
  pageAt: (path: string) => string | undefined
}

/** What a GET of this URL, or path and query, would get now, and why. */
export function why({ name, cache, pickGateways, pageAt }: WhyParts, url: string): Why {
  const { path, query, hasToken } = pathOfUrl(url)
  const told = { node: name, path, query: [], gateways: [] }
  const page = pageAt(hasToken ? `/t/-${path}` : path)
  if (page !== undefined) return { ...told, page }
  const media = classify(path)
  if (!media) {
    const refused = isMalformed(path)
      ? { status: 400, rule: 'path-malformed' }
      : { status: 404, rule: 'path-unknown' }
    return { ...told, refused: { ...refused, why: whyNoObject(path) } }
  }
  const read = { ...told, query: queryParts(media, query) }
  const target = targetOf(media, path, query)
  if ('problem' in target) {
    return {
      ...read,
      refused: { status: 400, rule: 'directive-malformed', why: target.problem },
    }
  }
  return {
    ...read,
    object: objectOf(media, path, target.blocking),
    key: target.key,
    cache: cache.inspect(target),
    gateways: [...pickGateways(media.id)],
  }
}

function objectOf(media: MediaObject, path: string, isHeldReload: boolean): ExplainedObject {
  const steps = path.split('/')
  const file = steps.at(-1)!
  const number = /^p?(\d+)\.m4s$/.exec(file)?.[1]
  const { ttlMs, staleIfErrorMs, isImmutable } = policyOf(media)
  return {
    ...media,
    ...(steps.length === 6 && { take: steps[3]! }),
    file,
    ...(number !== undefined && { number: Number(number) }),
    isHeldReload,
    ttlMs,
    staleIfErrorMs,
    isImmutable,
  }
}

const byLikelihood: readonly Inspection['next'][] = [
  'hit',
  'stale-hit',
  'too-far',
  'held',
  'joins',
  'fill',
  'overloaded',
]

/** Of workers that share what they have: one that has it answers for all. */
export function mergeWhys(answers: readonly Why[]): Why {
  const [first] = answers
  if (!first) throw new Error('no worker has answered')
  const caches = answers.flatMap(({ cache }) => cache ?? [])
  if (caches.length === 0) return first
  const stored = caches
    .flatMap((cache) => cache.stored ?? [])
    .toSorted((a, b) => b.freshMs - a.freshMs)[0]
  const fills = caches.flatMap((cache) => cache.fill ?? [])
  const fill = fills.toSorted((a, b) => b.bytes - a.bytes || b.sinceMs - a.sinceMs)[0]
  const readers = fills.reduce((sum, one) => sum + one.readers, 0)
  const lives = caches.flatMap((cache) => cache.live ?? [])
  const live = lives.find(({ version }) => version) ?? lives[0]
  const held = lives.reduce((sum, one) => sum + one.held, 0)
  const next = byLikelihood.find((likely) => caches.some((cache) => cache.next === likely))!
  return {
    ...first,
    cache: {
      next,
      ...(stored && { stored }),
      ...(fill && { fill: { ...fill, readers } }),
      ...(live && { live: { ...live, next: live.next, held } }),
    },
  }
}

/** Sums; a viewer whose connections are at several workers is counted by each. */
export function mergeTops(answers: readonly Top[]): Top {
  const [first] = answers
  if (!first) throw new Error('no worker has answered')
  const sum = (read: (top: Top) => number) => answers.reduce((total, top) => total + read(top), 0)
  return {
    ...first,
    requests: sums(requestResults, (result) => sum((top) => top.requests[result])),
    bytesOut: sums(deliveryProtocols, (protocol) => sum((top) => top.bytesOut[protocol])),
    bytes: sum((top) => top.bytes),
    objects: sum((top) => top.objects),
    fills: sum((top) => top.fills),
    readers: sum((top) => top.readers),
    waiters: sum((top) => top.waiters),
    held: sum((top) => top.held),
    lives: addUp(
      answers.flatMap(({ lives }) => lives),
      ({ scope, id }) => `${scope}/${id}`,
      (a, b) => ({ ...a, requests: a.requests + b.requests, bytes: a.bytes + b.bytes }),
    ),
    viewers: addUp(
      answers.flatMap(({ viewers }) => viewers),
      ({ liveId }) => liveId,
      (a, b) => ({ ...a, current: a.current + b.current, total: a.total + b.total }),
    ),
  }
}

function sums<Name extends string>(names: readonly Name[], read: (name: Name) => number) {
  return Object.fromEntries(names.map((name) => [name, read(name)])) as Record<Name, number>
}

function addUp<One>(
  all: readonly One[],
  keyOf: (one: One) => string,
  add: (a: One, b: One) => One,
): One[] {
  const found = new Map<string, One>()
  for (const one of all) {
    const before = found.get(keyOf(one))
    found.set(keyOf(one), before ? add(before, one) : one)
  }
  return [...found.values()]
}
