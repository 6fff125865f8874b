// `lock-holder.ts DIR [PORT] [OTHER_DIR]`: takes the instance lock, opens the port as an edge does, and holds both until
// its standard input ends; says `serving`, or the code of what was in the way.
import { createServer } from 'node:net'
import { systemClock } from '../../common/clock.ts'
import { silentLogger } from '../../common/log.ts'
import { listen } from '../../common/net/listen.ts'
import { InstanceLock } from '../../edge/instance-lock.ts'

const [dir = '', port = '0', other = dir] = process.argv.slice(2)
const target = { host: '127.0.0.1', port: Number(port) }
try {
  const lock = await InstanceLock.acquire({
    dataDir: other,
    node: 'pop-1',
    listeners: [target],
    takeOver: false,
    clock: systemClock,
    log: silentLogger,
  })
  await lock.claimPorts()
  await listen(createServer(), { ...target, reusePort: true })
  await lock.serve([target], async () => {
    process.stdout.write('released\n')
  })
  process.stdout.write('serving\n')
  process.stdin.on('end', () => {
    lock[Symbol.dispose]()
    process.exit(0)
  })
  process.stdin.resume()
} catch (err) {
  process.stdout.write(`${(err as { code?: string }).code ?? String(err)}\n`, () => process.exit(1))
}
