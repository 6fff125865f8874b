// Reads from the page's address what is to be shown, and writes such addresses.

export type Programme = { kind: 'live' } | { kind: 'replay'; replayId: string }

export interface Address {
  liveId: string
  programme: Programme
}

const liveIdPattern = /^[a-z0-9][a-z0-9_-]{0,62}$/
const replayIdPattern = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i

/** `/watch/{liveId}`, with `?replay={id}` for a replay; undefined when it names no channel. */
export function readAddress(pathname: string, search: string): Address | undefined {
  const match = /\/watch\/([^/]+)\/?$/.exec(pathname)
  if (!match || !liveIdPattern.test(match[1]!)) return undefined
  const replayId = new URLSearchParams(search).get('replay')
  const programme: Programme =
    replayId !== null && replayIdPattern.test(replayId)
      ? { kind: 'replay', replayId }
      : { kind: 'live' }
  return { liveId: match[1]!, programme }
}

export function searchOf(programme: Programme): string {
  return programme.kind === 'replay' ? `?replay=${programme.replayId}` : ''
}

export function manifestUrl(
  liveId: string,
  programme: Programme,
  protocol: 'hls' | 'dash',
): string {
  const file = protocol === 'hls' ? 'index.m3u8' : 'manifest.mpd'
  return programme.kind === 'replay'
    ? `/replay/${programme.replayId}/${file}`
    : `/live/${liveId}/${file}`
}

export function statusUrl(liveId: string): string {
  return `/live/${liveId}/status.json`
}
