// A transcoder's progress as an edge hears it by a gateway.
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, test } from 'vitest'
import { systemClock } from '../../../common/clock.ts'
import type { Progress, ProgressLine } from '../../../common/contract/progress.ts'
import { silentLogger } from '../../../common/log.ts'
import { ProgressClients } from '../../../common/relay/progress-clients.ts'
import { ProgressLines } from '../../../common/relay/progress-lines.ts'
import { ProgressBoard } from '../../../origin/gateway/progress-board.ts'
import { until } from '../../support/until.ts'

const options = { authorize: async () => 'token', clock: systemClock, log: silentLogger }
const line: ProgressLine = {
  ...{ connection: 'mine', epoch: 2, liveId: 'demo', takenMs: 40, neededMs: 0 },
}

async function listen(server: Server): Promise<string> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

test('an edge hears what the gateway tells of its connections, and nothing of transcoders', async () => {
  await using stack = new AsyncDisposableStack()
  const lines = stack.use(new ProgressLines({ clock: systemClock, lines: () => [line] }))
  let asked = 0
  const transcoder = createServer((_request, response) => {
    asked++
    lines.serve(response)
  })
  stack.defer(() => void transcoder.close())
  const board = new ProgressBoard(options)
  let edges = 0
  const gateway = createServer((request, response) => {
    edges++
    if (!board.answer(request, response)) response.writeHead(404).end()
  })
  stack.defer(() => void gateway.close())
  stack.use(board)
  const [transcoderUrl, gatewayUrl] = [await listen(transcoder), await listen(gateway)]
  const edge = stack.use(new ProgressClients(options))

  const heard: Progress[] = []
  const others: Progress[] = []
  using _mine = edge.at(gatewayUrl).watch('mine', (it) => heard.push(it))
  using _other = edge.at(gatewayUrl).watch('other', (it) => others.push(it))
  const own: Progress[] = []
  using _watch = board.at(transcoderUrl).watch('mine', (it) => own.push(it))
  await until('both streams', () => asked === 1 && edges === 1)
  await until('the line', () => own.length === 1)
  const { connection, ...progress } = line
  const told = board.tell(connection, () => ({ ...progress, takenMs: 80 }))
  using _silent = board.tell('other', () => undefined)
  await until('what it tells', () => heard.length === 1)
  expect(own[0]).toEqual(progress)
  expect(heard).toEqual([{ ...progress, takenMs: 80 }])
  // Its edge has come again, and the relay before that ends only now.
  using _again = board.tell(connection, () => ({ ...progress, takenMs: 120 }))
  told[Symbol.dispose]()
  await until('what the other one tells', () => heard.length === 2)
  expect(heard[1]).toEqual({ ...progress, takenMs: 120 })
  expect(others).toEqual([])
  const elsewhere = await fetch(`${gatewayUrl}/live/demo/index.m3u8`)
  expect(elsewhere.status).toBe(404)
})
