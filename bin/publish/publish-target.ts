// From `--to URL` and a stream key to what the RTMP client needs.

import { isIP } from 'node:net'
import { rootCertificates } from 'node:tls'
import { hostOf } from '../../common/net/addresses.ts'
import type { UpstreamTarget } from '../../common/relay/upstream-publisher.ts'

const defaultPorts = { 'rtmp:': 1935, 'rtmps:': 443 } as const

export interface TargetOptions {
  /** `rtmps://host[:port]/app[/key]` */
  url: string
  key?: string | undefined
  /** PEM of a CA to trust besides the public ones. */
  caPem?: string | undefined
  /** Take any certificate. */
  insecure?: boolean | undefined
}

export function publishTarget(options: TargetOptions): UpstreamTarget | { problem: string } {
  const url = URL.parse(options.url)
  if (url?.protocol !== 'rtmp:' && url?.protocol !== 'rtmps:') {
    return { problem: `got ${options.url}, expected rtmps://host:443/live` }
  }
  const names = url.pathname.split('/').filter((name) => name !== '')
  const streamName = options.key ?? (names.length > 1 ? names.pop() : undefined)
  if (names.length === 0)
    return { problem: 'the URL names no application, as in rtmps://host:443/live' }
  if (!streamName) {
    return { problem: 'no stream key: give --key-file, --key, or rtmps://host/live/KEY' }
  }
  const host = hostOf(url)
  const isTls = url.protocol === 'rtmps:'
  return {
    host,
    port: url.port === '' ? defaultPorts[url.protocol] : Number(url.port),
    app: names.join('/'),
    streamName: decodeURIComponent(streamName) + url.search,
    ...(isTls && {
      tls: {
        // SNI takes names only (RFC 6066 §3).
        ...(isIP(host) === 0 && { servername: host }),
        ...(options.caPem !== undefined && { ca: [...rootCertificates, options.caPem] }),
        ...(options.insecure && { rejectUnauthorized: false }),
      },
    }),
  }
}

/** The target for a person: without the key. */
export function targetText({ host, port, app, tls }: UpstreamTarget): string {
  const name = isIP(host) === 6 ? `[${host}]` : host
  return `${tls ? 'rtmps' : 'rtmp'}://${name}:${port}/${app}`
}
