// The ports that a config opens, so that check and doctor can look at them before a node does.
import type { ResolvedConfig } from './load.ts'
import type { Config } from './schema.ts'

export interface Listener {
  /** Section of the config: `tls`, `http`, … */
  section: string
  host: string
  port: number
}

/** Every port that a node of this config opens. */
export function listenersOf(config: Config | ResolvedConfig): Listener[] {
  const sections = config as unknown as Record<
    string,
    { host: string; port: number; enabled?: boolean } | undefined
  >
  return ['tls', 'http', 'rtmp', 'listen', 'mutualTls', 'admin'].flatMap((section) => {
    const value = sections[section]
    if (!value || value.enabled === false) return []
    return [{ section, host: value.host, port: value.port }]
  })
}

/** True when both cannot be open at once on one machine. */
export function collide(a: Listener, b: Listener): boolean {
  if (a.port === 0 || a.port !== b.port) return false
  const anyHost = (host: string) => host === '::' || host === '0.0.0.0'
  return a.host === b.host || anyHost(a.host) || anyHost(b.host)
}
