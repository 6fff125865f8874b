// `nearcast key list|create|rotate|revoke`: the stream keys of a channel.
import type { Command } from 'commander'
import type { ApiClient } from '../api-client.ts'
import { type CoordinatorOptions, coordinatorApi, withCoordinator } from '../coordinator-access.ts'
import { printJson, printLine, printNote, tableText } from '../output.ts'

interface StreamKey {
  id: string
  label: string | null
  createdAt: string
  expiresAt: string | null
  revokedAt: string | null
}

type Options = CoordinatorOptions & { json?: boolean; label?: string }

export function register(program: Command): void {
  const key = program.command('key').description('stream keys of a channel')

  withCoordinator(key.command('list'))
    .description('list the keys; a key itself is shown only when it is made')
    .argument('<live-id>')
    .option('--json', 'as JSON')
    .action(async (liveId: string, options: Options) => {
      const keys = await listKeys(coordinatorApi(options), liveId)
      if (options.json) return printJson(keys)
      return printLine(
        tableText(
          ['ID', 'LABEL', 'CREATED', 'EXPIRES', 'REVOKED'],
          keys.map((entry) => [
            entry.id,
            entry.label,
            entry.createdAt,
            entry.expiresAt,
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
      printKey(await createKey(coordinatorApi(options), liveId, options.label), options)
    })

  withCoordinator(key.command('rotate'))
    .description('make a new key and revoke all others')
    .argument('<live-id>')
    .option('--label <label>', 'to tell keys apart')
    .option('--json', 'as JSON')
    .action(async (liveId: string, options: Options) => {
      const api = coordinatorApi(options)
      const valid = (await listKeys(api, liveId)).filter((entry) => entry.revokedAt === null)
      // The new key first: should a call fail, the channel has one key too many, never none.
      const created = await createKey(api, liveId, options.label)
      for (const { id } of valid) await api.delete(`${keysPath(liveId)}/${id}`)
      printKey(created, options)
      printNote(`${valid.length} other key(s) revoked`)
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

async function listKeys(api: ApiClient, liveId: string): Promise<StreamKey[]> {
  return (await api.get<{ keys: StreamKey[] }>(keysPath(liveId))).keys
}

function createKey(api: ApiClient, liveId: string, label: string | undefined) {
  return api.post<{ streamKey: string }>(keysPath(liveId), label === undefined ? {} : { label })
}

function printKey(created: { streamKey: string }, { json }: Options): void {
  if (json) printJson(created)
  else printLine(created.streamKey)
}
