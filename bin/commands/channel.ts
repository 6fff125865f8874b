// `nearcast channel create|list|ban|unban|delete`
import type { Command } from 'commander'
import type { ApiClient } from '../api-client.ts'
import { type CoordinatorOptions, coordinatorApi, withCoordinator } from '../coordinator-access.ts'
import { printJson, printLine, printNote, tableText } from '../output.ts'

interface Channel {
  liveId: string
  name: string
  topic: string | null
  record: boolean
  live: boolean
  bannedAt: string | null
}

interface CreateOptions extends CoordinatorOptions {
  name?: string
  record: boolean
  json?: boolean
}

export function register(program: Command): void {
  const channel = program.command('channel').description('channels of the coordinator')

  withCoordinator(channel.command('create'))
    .description('create a channel and print its stream key, which is shown only now')
    .argument('[live-id]', 'public name in playback URLs; made where absent')
    .option('--name <name>', 'name for people')
    .option('--no-record', 'keep nothing after a show')
    .option('--json', 'as JSON')
    .action(async (liveId: string | undefined, options: CreateOptions) => {
      const created = await coordinatorApi(options).post<Channel & { streamKey: string }>(
        '/api/v1/channels',
        {
          ...(liveId !== undefined && { liveId }),
          ...(options.name !== undefined && { name: options.name }),
          ...(!options.record && { record: false }),
        },
      )
      if (options.json) return printJson(created)
      printLine(`live id     ${created.liveId}\nstream key  ${created.streamKey}`)
      return printNote('The stream key is not shown again; nearcast key create makes another one.')
    })

  withCoordinator(channel.command('list'))
    .description('list channels')
    .option('--json', 'as JSON')
    .action(async (options: CoordinatorOptions & { json?: boolean }) => {
      const channels = await listChannels(coordinatorApi(options))
      if (options.json) return printJson(channels)
      return printLine(
        tableText(
          ['LIVE ID', 'NAME', 'TOPIC', 'RECORD', 'NOW'],
          channels.map(({ liveId, name, topic, record, live, bannedAt }) => {
            const now = live ? 'live' : bannedAt ? 'banned' : 'offline'
            return [liveId, name, topic, record ? 'on' : 'off', now]
          }),
        ),
      )
    })

  withCoordinator(channel.command('ban'))
    .description('let nobody publish to a channel; ends what is live')
    .argument('<live-id>')
    .action(async (liveId: string, options: CoordinatorOptions) => {
      await coordinatorApi(options).post(`${channelPath(liveId)}/ban`)
      printNote(`${liveId} banned`)
    })

  withCoordinator(channel.command('unban'))
    .description('let its keys publish again')
    .argument('<live-id>')
    .action(async (liveId: string, options: CoordinatorOptions) => {
      await coordinatorApi(options).post(`${channelPath(liveId)}/unban`)
      printNote(`${liveId} may publish again`)
    })

  withCoordinator(channel.command('delete'))
    .description('delete a channel with its keys')
    .argument('<live-id>')
    .action(async (liveId: string, options: CoordinatorOptions) => {
      await coordinatorApi(options).delete(channelPath(liveId))
      printNote(`${liveId} deleted`)
    })
}

function channelPath(liveId: string): string {
  return `/api/v1/channels/${encodeURIComponent(liveId)}`
}

/** All of them: the API answers pages. */
async function listChannels(api: ApiClient): Promise<Channel[]> {
  const channels: Channel[] = []
  let after: string | null = null
  do {
    const query: string = after === null ? '' : `?after=${encodeURIComponent(after)}`
    const page: { channels: Channel[]; next: string | null } = await api.get(
      `/api/v1/channels${query}`,
    )
    channels.push(...page.channels)
    after = page.next
  } while (after !== null)
  return channels
}
