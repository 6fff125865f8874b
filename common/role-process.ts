// The shell that every role's process runs in: start, wait for a signal, drain, leave with an exit code.

import { messageOf } from './errors.ts'
import type { Logger } from './log.ts'

export interface RunningRole extends AsyncDisposable {
  /** What `ready` reports about this node: its URLs and id. */
  readonly endpoints: Record<string, unknown>
  /** Rereads config and certificates; a bad file keeps the old ones. */
  reload(): Promise<void>
  /** Resolves when the role cannot go on by itself; never rejects. */
  readonly failed?: Promise<Error>
  /** Resolves when there is nothing left to do: another process does it. */
  readonly finished?: Promise<void>
}

// npm and the terminal may both deliver the same Ctrl-C.
const sameKeystrokeMs = 300

/**
 * Runs a role until TERM or INT (drain, then 0), a second one (now, 1), the loss of the parent that
 * started us with an IPC channel, or a failure (1). Returns the exit code.
 */
export async function runRole(log: Logger, start: () => Promise<RunningRole>): Promise<number> {
  const stop = Promise.withResolvers<string>()
  const now = Promise.withResolvers<number>()
  let stoppedAt: number | undefined
  const onSignal = (signal: string) => {
    if (stoppedAt === undefined) {
      stoppedAt = performance.now()
      log.info({ signal }, 'stopping')
      stop.resolve(signal)
    } else if (performance.now() - stoppedAt > sameKeystrokeMs) {
      log.warn({ signal }, 'second signal: leaving at once')
      now.resolve(1)
    }
  }
  process.on('SIGINT', onSignal)
  process.on('SIGTERM', onSignal)
  process.once('disconnect', () => onSignal('parent-gone'))
  let role: RunningRole | undefined
  process.on('SIGHUP', () => {
    role?.reload().then(
      () => log.info('reloaded'),
      (err) => log.error({ err }, 'reload failed; the old settings stay'),
    )
  })

  const run = async (): Promise<number> => {
    role = await start()
    process.send?.({ type: 'ready', endpoints: role.endpoints })
    log.info(role.endpoints, 'ready')
    const never = new Promise<never>(() => {})
    const { failed = never, finished = never } = role
    const failure = await Promise.race([stop.promise, failed, finished])
    await role[Symbol.asyncDispose]()
    if (failure instanceof Error) throw failure
    return 0
  }
  try {
    return await Promise.race([run(), now.promise])
  } catch (err) {
    log.fatal({ err }, messageOf(err))
    process.send?.({ type: 'failed', message: messageOf(err) })
    return 1
  }
}
