// What the connections of each address have sent, of whatever protocol: looked up once a second, so that it costs a
// request nothing.
import type { Socket } from 'node:net'
import type { Clock, Timer } from '../../common/clock.ts'

interface Watched {
  address: string
  socket: Pick<Socket, 'bytesWritten'>
  bytes: number
}

const lookEveryMs = 1_000

export class BytesOut {
  readonly #clock: Clock
  readonly #charge: (address: string, bytes: number) => void
  readonly #watched = new Set<Watched>()
  #looks: Timer | undefined

  constructor(clock: Clock, charge: (address: string, bytes: number) => void) {
    this.#clock = clock
    this.#charge = charge
  }

  /** Until it is closed. */
  watch(address: string, socket: Pick<Socket, 'bytesWritten' | 'once' | 'destroyed'>): void {
    if (socket.destroyed) return
    const watched = { address, socket, bytes: 0 }
    this.#watched.add(watched)
    socket.once('close', () => {
      this.#look(watched)
      this.#watched.delete(watched)
    })
    this.#looks ??= this.#clock.setInterval(() => this.#lookAtAll(), lookEveryMs)
  }

  #lookAtAll(): void {
    for (const watched of this.#watched) this.#look(watched)
    if (this.#watched.size > 0) return
    this.#looks?.cancel()
    this.#looks = undefined
  }

  #look(watched: Watched): void {
    const { bytesWritten } = watched.socket
    if (bytesWritten > watched.bytes) this.#charge(watched.address, bytesWritten - watched.bytes)
    watched.bytes = bytesWritten
  }
}
