// `nearcast ring whatif`: which live ids another set of transcoders would move, before anything is changed.
import { type Command, InvalidArgumentError } from 'commander'
import { parseRingNode } from '../../common/ring.ts'
import { type CoordinatorOptions, coordinatorApi, withCoordinator } from '../coordinator-access.ts'
import { printJson, printLine, tableText } from '../output.ts'
import { UsageError } from '../usage-error.ts'

interface Move {
  liveId: string
  from: string | null
  to: string | null
  /** Where it is live. */
  transcoder: string | null
  when: 'next-broadcast' | 'node-goes'
}

interface WhatIf {
  nodes: { id: string; weight: number; shareBefore: number; shareAfter: number }[]
  liveIds: number
  moves: Move[]
}

interface WhatIfOptions extends CoordinatorOptions {
  add?: string[]
  remove?: string[]
  json?: boolean
}

export function register(program: Command): void {
  const ring = program.command('ring').description('the ring that places streams on transcoders')

  withCoordinator(ring.command('whatif'))
    .description('name the live ids that would move if transcoders were added or removed')
    .option('--add <node...>', 'transcoders that would come, each as ID or ID:WEIGHT', added)
    .option('--remove <id...>', 'transcoders that would go', removed)
    .option('--json', 'as JSON')
    .addHelpText(
      'after',
      `
Nothing is changed by asking. A live stream stays on its transcoder, whatever the ring says, until
its broadcast ends, or that node is drained or fails. To weigh a node anew, remove and add it:
  nearcast ring whatif --remove tc-1 --add tc-1:2`,
    )
    .action(async ({ add = [], remove = [], json, ...options }: WhatIfOptions) => {
      if (add.length === 0 && remove.length === 0) {
        throw new UsageError('what would change? Give --add ID[:WEIGHT] or --remove ID')
      }
      const query = new URLSearchParams([
        ...add.map((node) => ['add', node]),
        ...remove.map((id) => ['remove', id]),
      ])
      const answer = await coordinatorApi(options).get<WhatIf>(`/api/v1/ring/whatif?${query}`)
      if (json) printJson(answer)
      else printLine(whatIfText(answer))
    })
}

/** What a person reads of it. */
export function whatIfText({ nodes, liveIds, moves }: WhatIf): string {
  const shares = tableText(
    ['TRANSCODER', 'WEIGHT', 'SHARE NOW', 'SHARE THEN'],
    nodes.map(({ id, weight, shareBefore, shareAfter }) => {
      return [id, weight, percent(shareBefore), percent(shareAfter)]
    }),
  )
  if (moves.length === 0) return `${shares}\n\nNone of ${liveIds} live ids would move.`
  const names = tableText(
    ['LIVE ID', 'FROM', 'TO', 'NOW'],
    moves.map((move) => [move.liveId, move.from, move.to, standingOf(move)]),
  )
  const live = moves.filter(({ transcoder }) => transcoder !== null)
  const goes = live.filter(({ when }) => when === 'node-goes').length
  const words =
    `${moves.length} of ${liveIds} live ids would move; ${live.length} of them are live now.\n` +
    `Live streams are sticky: ${live.length - goes} would stay where they are until their broadcast ends, ` +
    `or their node is drained or fails; ${goes} would move because their node goes.`
  return [shares, names, words].join('\n\n')
}

function standingOf({ transcoder, when }: Move): string {
  if (transcoder === null) return 'not live'
  return when === 'node-goes'
    ? `live on ${transcoder}, moves with the node`
    : `live on ${transcoder}, stays`
}

function percent(share: number): string {
  return `${(share * 100).toFixed(1)} %`
}

function added(text: string, before: string[] = []): string[] {
  if (parseRingNode(text)) return [...before, text]
  throw new InvalidArgumentError('expected a node id, or id:weight with a weight above 0')
}

function removed(text: string, before: string[] = []): string[] {
  const node = parseRingNode(text)
  if (node?.id === text) return [...before, text]
  throw new InvalidArgumentError('expected a node id')
}
