// A next hop that is none: it takes a publish and throws its media away.
import type { Upstream } from '../../common/relay/upstream-road.ts'

export function discard(): Upstream {
  const closed = Promise.withResolvers<string>()
  const close = () => closed.resolve('discarded')
  return {
    onDrain: () => {},
    onStatus: () => {},
    closed: closed.promise,
    send: () => true,
    unpublish: close,
    destroy: close,
    abandon: close,
  }
}
