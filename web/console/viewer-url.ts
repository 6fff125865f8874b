// Where a person can watch: the page of a POP that is up.
import type { ClusterNode } from './api/shapes.ts'

/** Loopback has no certificate that a browser trusts by itself, so plain HTTP comes first there. */
export function viewerBase({ urls }: Pick<ClusterNode, 'urls'>): string | undefined {
  const isLocal = (url: string | undefined) =>
    url !== undefined && /^https?:\/\/(localhost|127\.|\[::1\])/.test(url)
  return isLocal(urls.http) ? urls.http : (urls.https ?? urls.http)
}

export function watchUrl(
  nodes: readonly ClusterNode[],
  liveId: string,
  replayId?: string,
): string | undefined {
  const edges = nodes
    .filter(({ role, health }) => role === 'edge' && (health === 'ok' || health === 'late'))
    .sort((a, b) => a.load.viewers - b.load.viewers || (a.id < b.id ? -1 : 1))
  const base = edges.map(viewerBase).find((url) => url !== undefined)
  return base && `${base}/watch/${liveId}${replayId ? `?replay=${replayId}` : ''}`
}
