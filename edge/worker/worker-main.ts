// The thread of a worker: a composition root at one end of a message channel to the main thread.
import { parentPort, workerData } from 'node:worker_threads'
import { messageOf, ServiceError } from '../../common/errors.ts'
import { createLogger } from '../../common/log.ts'
import { threadClock } from '../../common/thread-clock.ts'
import { createEdgeWorker, type EdgeWorker } from './edge-worker.ts'
import type { FromWorker, ToWorker, WorkerStart } from './messages.ts'

const statsEveryMs = 1_000

const start = workerData as WorkerStart
const main = parentPort!
const log = createLogger({ name: start.config.node.id, ...start.log })
log.setBindings({ worker: start.index + 1 })

function tell(message: FromWorker): void {
  main.postMessage(message)
}

async function work(worker: EdgeWorker): Promise<void> {
  const beat = threadClock.setInterval(
    () => tell({ kind: 'stats', stats: worker.stats() }),
    statsEveryMs,
  )
  const stopped = Promise.withResolvers<void>()
  main.on('message', (message: ToWorker) => {
    if (message.kind === 'listen') {
      worker
        .listen(message.ports)
        .then((address) => tell({ kind: 'listening', address }), stopped.reject)
    } else if (message.kind === 'call') {
      const { id, op, args } = message
      const operate = worker.operations[op] as (args: unknown) => unknown
      const result = (async () => await operate(args))()
      result.then(
        (value) => tell({ kind: 'answer', id, result: value }),
        (err) => tell({ kind: 'no-answer', id, error: messageOf(err) }),
      )
    } else if (message.kind === 'stop') stopped.resolve()
    else worker.on(message)
  })
  tell({ kind: 'prepared' })
  try {
    await stopped.promise
  } finally {
    await worker[Symbol.asyncDispose]()
    beat.cancel()
    tell({ kind: 'stats', stats: worker.stats() })
  }
}

try {
  await work(await createEdgeWorker({ start, log, share: (fact) => tell({ kind: 'fact', fact }) }))
} catch (err) {
  const code = err instanceof ServiceError ? err.code : undefined
  tell({ kind: 'failed', message: messageOf(err), code })
}
// Without it nothing keeps the thread.
main.close()
