// `nearcast drain NODE` and `nearcast undrain NODE`: takes a node out of service, and lets it in again.
import { type Command, InvalidArgumentError } from 'commander'
import { systemClock } from '../../common/clock.ts'
import { type CoordinatorOptions, coordinatorApi, withCoordinator } from '../coordinator-access.ts'
import { type Drain, progressText, watchDrain } from '../drain-watch.ts'
import { printJson, printLine, printNote } from '../output.ts'

interface DrainOptions extends CoordinatorOptions {
  wait: boolean
  timeout?: number
  json?: boolean
}

const interruptedExitCode = 130

export function register(program: Command): void {
  withCoordinator(program.command('drain'))
    .description(
      'take a node out of service: it gets nothing new, a transcoder gives its streams away',
    )
    .argument('<node>', 'its id')
    .option('--no-wait', 'do not follow the streams until none is left')
    .option('--timeout <seconds>', 'follow no longer than that, then exit with 1', seconds)
    .option('--json', 'the last state as JSON, progress on standard error')
    .addHelpText(
      'after',
      `
Streams leave a transcoder one by one, at a keyframe; their publishers stay connected. Publishers
through an edge or gateway stay until they leave. Ctrl-C ends the following, not the drain: that
holds, over restarts of the node too, until nearcast undrain.`,
    )
    .action(drain)

  withCoordinator(program.command('undrain'))
    .description('let a drained node take streams again')
    .argument('<node>', 'its id')
    .option('--json', 'as JSON')
    .action(async (id: string, options: CoordinatorOptions & { json?: boolean }) => {
      const view = await coordinatorApi(options).post<Drain>(`${pathOf(id)}/undrain`)
      if (options.json) return printJson(view)
      if (!view.draining) return printLine(`${id} takes streams again`)
      return printLine(
        `${id} says itself that it drains: it takes streams again when it is restarted`,
      )
    })
}

async function drain(id: string, { json, wait, timeout, ...access }: DrainOptions): Promise<void> {
  const api = coordinatorApi(access)
  const first = await api.post<Drain>(`${pathOf(id)}/drain`)
  if (!wait) {
    if (json) return printJson(first)
    return printLine(`${id} gets nothing new; ${progressText(first)}`)
  }
  const stop = new AbortController()
  const onInterrupt = () => stop.abort()
  process.once('SIGINT', onInterrupt)
  const { outcome, view } = await watchDrain(first, {
    clock: systemClock,
    read: () => api.get<Drain>(`${pathOf(id)}/drain`),
    say: json ? printNote : printLine,
    signal: stop.signal,
    timeoutMs: timeout === undefined ? undefined : timeout * 1000,
  })
  process.off('SIGINT', onInterrupt)
  if (json) printJson(view)
  else if (outcome === 'empty') printLine(`${id} has no streams left: it can be stopped`)
  if (outcome === 'undrained') printNote(`${id} was undrained meanwhile`)
  if (outcome === 'stopped' || outcome === 'timeout') {
    printNote(`the drain goes on; nearcast undrain ${id} takes it back`)
  }
  if (outcome === 'stopped') process.exitCode = interruptedExitCode
  else if (outcome !== 'empty') process.exitCode = 1
}

function pathOf(id: string): string {
  return `/api/v1/nodes/${encodeURIComponent(id)}`
}

function seconds(text: string): number {
  const value = Number(text)
  if (Number.isFinite(value) && value > 0 && value <= 86_400) return value
  throw new InvalidArgumentError('expected seconds from above 0 to 86400')
}
