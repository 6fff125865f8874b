// `nearcast key list|create|rotate|revoke`: the stream keys of a channel.
import type { Command } from 'commander'
import { type CoordinatorOptions, coordinatorApi, withCoordinator } from '../coordinator-access.ts'
import { printJson, printLine, printNote, tableText } from '../output.ts'

interface StreamKey {
  id: string
  label: string
  createdAt: string
  expiresAt: string | null
  revokedAt: string | null
  lastUsedAt: string | null
}

type Options = CoordinatorOptions & { json?: boolean; label?: string }

export function register(program: Command): void {
  const key = program.command('key').description('stream keys of a channel')

  withCoordinator(key.command('list'))
    .description('list the keys; a key itself is shown only when it is made')
    .argument('<live-id>')
    .option('--json', 'as JSON')
    .action(async (liveId: string, options: Options) => {
      const { keys } = await coordinatorApi(options).get<{ keys: StreamKey[] }>(keysPath(liveId))
      if (options.json) return printJson(keys)
      return printLine(
        tableText(
          ['ID', 'LABEL', 'CREATED', 'EXPIRES', 'LAST USED', 'REVOKED'],
          keys.map((entry) => [
            entry.id,
            entry.label || undefined,
            entry.createdAt,
            entry.expiresAt,
            entry.lastUsedAt,
            entry.revokedAt,
          ]),
        ),
      )
    })

  withCoordinator(key.command('create'))
    .description('make another key; the others stay valid')
    .argument('<live-id>')
    .option('--label <label>', 'to tell keys apart')
    .option('--json', 'as JSON')
    .action(async (liveId: string, options: Options) => {
      const created = await coordinatorApi(options).post<{ streamKey: string }>(
        keysPath(liveId),
        labelled(options),
      )
      printKey(created, options)
    })

  withCoordinator(key.command('rotate'))
    .description('make a new key and revoke all others')
    .argument('<live-id>')
    .option('--label <label>', 'to tell keys apart')
    .option('--json', 'as JSON')
    .action(async (liveId: string, options: Options) => {
      const created = await coordinatorApi(options).post<{ streamKey: string; revoked: number }>(
        `${keysPath(liveId)}/rotate`,
        labelled(options),
      )
      printKey(created, options)
      printNote(`${created.revoked} other key(s) revoked`)
    })

  withCoordinator(key.command('revoke'))
    .description('revoke one key')
    .argument('<live-id>')
    .argument('<key-id>', 'as key list shows it')
    .action(async (liveId: string, keyId: string, options: Options) => {
      await coordinatorApi(options).delete(`${keysPath(liveId)}/${encodeURIComponent(keyId)}`)
      printNote('revoked')
    })
}

function keysPath(liveId: string): string {
  return `/api/v1/channels/${encodeURIComponent(liveId)}/keys`
}

function labelled({ label }: Options): { label?: string } {
  return label === undefined ? {} : { label }
}

function printKey(created: { streamKey: string }, { json }: Options): void {
  if (json) printJson(created)
  else printLine(created.streamKey)
}
