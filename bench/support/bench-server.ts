// What the scenarios that compare caches know of each: where it listens and whose processor time is its own.

export const serverCore = 1
export const loadCore = 0

export interface BenchServer {
  name: 'nearcast' | 'nginx' | 'varnish'
  /** The process that all others of the server descend from. */
  pid: number
  /** Base URL over HTTP/1.1 without TLS. */
  plain: string
  /** Port of 127.0.0.1 with TLS, HTTP/1.1 and HTTP/2 by ALPN; undefined where it has none. */
  tlsPort: number | undefined
}

/** The name that the certificate is for. */
export const tlsName = 'localhost'
