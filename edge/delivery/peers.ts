// The edges of one POP that share what they fetch: of what never changes, each object has an owner among them, by the
// hash of its path. The owner asks the gateways, the others ask the owner first.
//
// - Playlists and MPDs are not shared: a third cache on their way would make them older.
// - Whoever is asked as an owner and is none says 421, and nobody who asks for a peer is ever asked on: edges whose
//   lists differ ask each other once, and then a gateway.
// - A peer proves itself by a node token of the cluster.
import type { ObjectTarget } from '../../common/cache/cache-key.ts'
import type { CacheRequest, CacheResponse } from '../../common/cache/fill-cache.ts'
import { policyOf } from '../../common/cache/freshness.ts'
import { classify } from '../../common/cache/media-path.ts'
import type { NodeIdentity } from '../../common/cluster/cluster-auth.ts'
import { ServiceError } from '../../common/errors.ts'
import { isPublicAddress } from '../../common/net/allowed-networks.ts'
import { Ring } from '../../common/ring.ts'
import type { EdgeConfig } from '../../config/schema.ts'

export interface PeersOptions {
  /** Base URL of this edge, as its peers know it. */
  self: string
  /** Base URLs of the others; this edge may be among them. */
  peers: readonly string[]
  /** Plain connections to public addresses. */
  allowPlain: boolean
  verifyNodeToken: (token: string) => Promise<NodeIdentity | undefined>
}

/** RFC 8586: this request has been through an edge. A gateway takes no notice. */
export const asksPeer = { 'cdn-loop': 'nearcast-peer' }

export function saysPeer({ headers }: Pick<CacheRequest, 'headers'>): boolean {
  return headers['cdn-loop'] === asksPeer['cdn-loop']
}

export class Peers {
  readonly #self: string
  readonly #ring: Ring
  readonly #verify: PeersOptions['verifyNodeToken']

  constructor({ self, peers, allowPlain, verifyNodeToken }: PeersOptions) {
    const urls = new Set([self, ...peers].map(baseUrl))
    for (const url of urls) if (!allowPlain) refusePublic(url)
    this.#self = baseUrl(self)
    this.#ring = new Ring([...urls].map((id) => ({ id, weight: 1 })))
    this.#verify = verifyNodeToken
  }

  /** Base URL of the peer to ask first; undefined where this edge asks the gateways itself. */
  toAsk({ media, path }: Pick<ObjectTarget, 'media' | 'path'>): string | undefined {
    if (!policyOf(media).isImmutable) return undefined
    const owner = this.#ring.place(path)
    return owner === this.#self ? undefined : owner
  }

  /** Whether a request that says it is a peer's is one, and asks for what is owned here. */
  async admits(req: CacheRequest, path: string): Promise<boolean> {
    const media = classify(path)
    if (!media || !policyOf(media).isImmutable || this.toAsk({ media, path })) return false
    const token = /^Bearer (.+)$/.exec(req.headers.authorization ?? '')?.[1]
    return token !== undefined && (await this.#verify(token))?.role === 'edge'
  }
}

/** Undefined for an edge that shares with nobody. */
export function peersOf(
  { self, peers }: Pick<EdgeConfig['cache'], 'self' | 'peers'>,
  options: Omit<PeersOptions, 'self' | 'peers'>,
): Peers | undefined {
  return self === undefined || peers.length === 0
    ? undefined
    : new Peers({ self, peers, ...options })
}

/** RFC 9110 §15.5.20: whoever asks may ask elsewhere. */
export function refuseMisdirected(res: CacheResponse): void {
  res.statusCode = 421
  res.setHeader('content-length', '0')
  res.end()
}

function baseUrl(url: string): string {
  return url.replace(/\/+$/, '')
}

function refusePublic(url: string): void {
  const { protocol, hostname } = new URL(url)
  if (protocol !== 'http:' || !isPublicAddress(hostname)) return
  throw new ServiceError(
    `cache.peers: ${url} is a public address, and plain connections there are not allowed; set upstream.allowPlain to use it all the same`,
    { code: 'peer-public', source: 'internal' },
  )
}
