// Our edge and nginx in front of one scripted live origin.
import type { BenchServer } from './bench-server.ts'
import { makeCertificate } from './certificate.ts'
import { type LiveOrigin, startLiveOrigin } from './live-origin.ts'
import { startNginx } from './nginx.ts'
import { startOurEdge } from './our-edge.ts'

/** They end with the stack. */
export async function startLiveServers(
  stack: AsyncDisposableStack,
  stream: Parameters<typeof startLiveOrigin>[0],
): Promise<{ origin: LiveOrigin; servers: BenchServer[] }> {
  const certificate = await makeCertificate(stack)
  const origin = stack.use(await startLiveOrigin(stream))
  const ours = stack.use(await startOurEdge({ originPort: origin.port, certificate }))
  const nginx = stack.use(await startNginx({ originPort: origin.port, certificate }))
  return { origin, servers: [ours.server, nginx.server] }
}
