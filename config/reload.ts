// A config file that is read again while its role runs: some settings are taken over, the others are named,
// because a change that does nothing until the next start must not look as if it had worked.
import type { Logger } from '../common/log.ts'
import { loadConfig, type ResolvedConfigs } from './load.ts'

/** Settings, with all below them, that a running role takes over. */
const hotSettings = ['log.level', 'tls.certificates', 'ladder', 'drain']

export interface Candidate<C> {
  config: C
  /** Takes over what is everybody's; to be called when all else that the reload is about has turned out good. */
  adopt(): void
}

/** Reads the file of a running role and changes nothing; throws a `ConfigError` when it is bad. */
export type Reread<C> = () => Candidate<C>

export function createReread<R extends keyof ResolvedConfigs>(
  role: R,
  file: string,
  started: ResolvedConfigs[R],
  log: Logger,
): Reread<ResolvedConfigs[R]> {
  return () => {
    const config = loadConfig(file, { role })
    const adopt = () => {
      log.level = config.log.level
      const waiting = changedSettings(started, config).filter(
        (path) => !hotSettings.some((hot) => path === hot || path.startsWith(`${hot}.`)),
      )
      if (waiting.length > 0) log.warn({ settings: waiting }, 'changed settings wait for a restart')
    }
    return { config, adopt }
  }
}

/** Dotted paths of the values that differ. */
export function changedSettings(before: unknown, after: unknown, path = ''): string[] {
  if (!isObject(before) || !isObject(after)) return Object.is(before, after) ? [] : [path]
  const keys = new Set([...Object.keys(before), ...Object.keys(after)])
  return [...keys].flatMap((key) =>
    changedSettings(before[key], after[key], path ? `${path}.${key}` : key),
  )
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null
}
