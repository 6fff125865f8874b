// How a command reaches the admin listeners of nodes: one that is named, or those that the coordinator knows.
import { type Command, Option } from 'commander'
import { messageOf, ServiceError } from '../common/errors.ts'
import { type CoordinatorOptions, coordinatorApi, withCoordinator } from './coordinator-access.ts'
import { UsageError } from './usage-error.ts'

export interface AdminOptions extends CoordinatorOptions {
  admin?: string
  node?: string
}

/** As the coordinator tells it. */
export interface KnownNode {
  id: string
  role: string
  health: string
  urls: { https?: string; http?: string; admin?: string }
  load: { viewers: number; bitsOutPerSecond: number }
}

const ownAdmin = 'http://127.0.0.1:9101'
const timeoutMs = 3_000

export function withAdmin(command: Command): Command {
  return withCoordinator(
    command
      .addOption(
        new Option('--admin <url>', `admin listener of the node (default: ${ownAdmin})`).env(
          'NEARCAST_ADMIN',
        ),
      )
      .addOption(new Option('--node <id>', 'the node, by its id at the coordinator')),
  )
}

/** Nodes that the coordinator knows and hears; undefined where no coordinator is told of. */
export async function knownNodes(options: CoordinatorOptions): Promise<KnownNode[] | undefined> {
  let api: ReturnType<typeof coordinatorApi>
  try {
    api = coordinatorApi(options)
  } catch (err) {
    if (err instanceof UsageError && !options.url && !options.data) return undefined
    throw err
  }
  const { nodes } = await api.get<{ nodes: KnownNode[] }>('/api/v1/nodes')
  return nodes.filter(({ health }) => health !== 'gone' && health !== 'left')
}

/** One edge: the one that is named, else the one that `url` leads to, else any. */
export async function adminOfEdge(options: AdminOptions, url = ''): Promise<string> {
  if (options.admin) return options.admin
  const nodes = await knownNodes(options)
  if (!nodes) {
    if (options.node) throw new UsageError('--node needs the coordinator: --url and --token-file')
    return ownAdmin
  }
  const edges = nodes.filter(({ role }) => role === 'edge')
  const origin = /^https?:\/\/[^/?#]+/i.exec(url)?.[0]
  const isMeant = ({ urls }: KnownNode) => urls.https === origin || urls.http === origin
  const edge =
    options.node === undefined
      ? ((origin && edges.find(isMeant)) ?? edges[0])
      : edges.find(({ id }) => id === options.node)
  if (!edge) throw new UsageError(`there is no edge ${options.node ?? ''}`.trimEnd())
  return adminUrlOf(edge)
}

export function adminUrlOf({ id, urls }: KnownNode): string {
  if (urls.admin) return urls.admin
  throw new ServiceError(`${id} does not tell where its admin listener is`, {
    code: 'admin-unknown',
    source: 'upstream',
  })
}

/** Throws with the way out where the listener cannot be reached. */
export async function readAdmin<Answer>(base: string, path: string): Promise<Answer> {
  let response: Response
  let text: string
  try {
    response = await fetch(base.replace(/\/$/, '') + path, {
      signal: AbortSignal.timeout(timeoutMs),
    })
    text = await response.text()
  } catch (err) {
    const cause = err instanceof Error && err.cause ? err.cause : err
    throw new ServiceError(
      `the admin listener at ${base} does not answer: ${messageOf(cause)}. It is on loopback unless configured: run this on the node, or give --admin`,
      { code: 'admin-away', source: 'upstream', retryable: true, cause: err },
    )
  }
  if (response.ok && isJson(response)) return JSON.parse(text) as Answer
  const [line = ''] = text.trim().split('\n', 1)
  const what = response.ok ? 'not what an admin listener says' : `${response.status} ${line}`
  throw new ServiceError(`${base}${path.split('?', 1)[0]}: ${what}`, {
    code: response.ok ? 'not-admin' : `http-${response.status}`,
    source: 'upstream',
  })
}

function isJson({ headers }: Response): boolean {
  return headers.get('content-type')?.startsWith('application/json') === true
}
